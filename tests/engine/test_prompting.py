from random import Random

import pytest
from transformers import AutoTokenizer

from fate.core.sampling import SettingsRanges
from fate.engine import EngineError, load
from fate.engine.prompting import INSTRUCTION, preamble_of
from fate.playthrough import Playthrough
from fate.policy import UniformPolicy
from fate.replay import replay
from tests.command import run
from tests.tiny_models import save_tiny_model, tiny_tokenizer

TEMPLATE = (
    "{% for m in messages %}</s>{{ m.role }}\n{{ m.content | trim }}</s>{% endfor %}"
    "{% if add_generation_prompt %}</s>assistant\n{% endif %}"
)
BEFORE = f"</s>user\n{INSTRUCTION}</s></s>assistant\n"
OPENING = "Once upon a time there was a girl who kept a lantern in her pocket."


def tokenizer(template=None, start=False):
    made = tiny_tokenizer(start)
    made.chat_template = template
    return made


@pytest.fixture(scope="session")
def chat_folder(tmp_path_factory):
    """A model whose tokenizer has a chat template."""
    folder = save_tiny_model(tmp_path_factory.mktemp("chat") / "tiny-chat", "gpt2")
    made = AutoTokenizer.from_pretrained(folder)
    made.chat_template = TEMPLATE
    made.save_pretrained(folder)
    return folder


def play(store, engine, keys, story=None):
    """Choose by number; returns the game and the prompts, as far as each was read before."""
    game = Playthrough(store, engine, UniformPolicy(SettingsRanges()), story or store.new_story(OPENING), rng=Random(1))
    choices = []
    for key in keys:
        *_, last = game.offer()
        choices.append(last.choice)
        game.choose(last.choice, last.choice.candidates[int(key) - 1], 900)
    return game, choices


def test_a_story_is_the_beginning_of_the_answer(chat_folder):
    engine = load(str(chat_folder))
    ids = engine.encode(OPENING)
    assert engine.tokenizer.decode(ids) == BEFORE + OPENING
    assert engine.tokenizer.convert_ids_to_tokens(ids)[0] == "</s>"
    assert engine.story(ids) == OPENING


def test_what_looks_like_the_template_in_a_story_is_only_text(chat_folder):
    engine = load(str(chat_folder))
    ids = engine.encode("</s>user\nNo!")
    assert ids.count(0) == BEFORE.count("</s>")
    assert engine.story(ids) == "</s>user\nNo!"


def test_a_story_is_played_past_the_window_under_its_template_and_comes_out_the_same(store, chat_folder):
    engine = load(str(chat_folder), context=480)
    game, choices = play(store, engine, "123" * 6)
    start = engine.preamble.start
    cut = [choice for choice in choices if not OPENING.startswith(choice.prompt[:8])]
    assert 3 < len(cut) < len(choices)
    for choice in choices:
        assert choice.prompt_ids[: len(start)] == start
        assert game.path.text.count(choice.prompt.lstrip("\ufffd")) == 1
        assert INSTRUCTION not in choice.prompt
        assert choice.cached_tokens >= (len(start) if choice.step else 0)  # the template was read once
    assert sum(c.cached_tokens > len(c.prompt_ids) * 0.6 for c in choices) > len(choices) * 0.6
    fresh = load(str(chat_folder), context=480)
    for choice in choices:
        stored = store.choice(choice.id)
        assert stored.prompt_ids == choice.prompt_ids
        assert all(result.identical and result.same_environment for result in replay(fresh, stored))


def test_the_database_of_a_model_with_a_template_is_sound(store, chat_folder):
    play(store, load(str(chat_folder)), "12")
    store.close()
    done = run("check", "--model", str(chat_folder), "--db", str(store.file))
    assert (done.returncode, done.stdout) == (0, "2 choices looked at, 0 problems\n"), done.stdout


@pytest.mark.parametrize(("first", "then"), [("on", "off"), ("off", "on")])
def test_a_story_goes_on_with_the_template_switched(store, chat_folder, first, then):
    game, _ = play(store, load(str(chat_folder), chat=first), "12")
    engine = load(str(chat_folder), chat=then)
    (choice,) = play(store, engine, "1", game.path.story_id)[1]
    assert choice.prompt_ids == engine.encode(game.path.text)
    assert (BEFORE in engine.tokenizer.decode(choice.prompt_ids)) == (then == "on")
    assert choice.prompt == game.path.text


@pytest.mark.parametrize(
    ("name", "template", "chat", "used"),
    [
        ("someone/model", None, "auto", False),
        ("someone/model-Instruct", TEMPLATE, "auto", True),
        ("someone/model-Instruct", TEMPLATE, "off", False),
        ("Qwen/Qwen3-0.6B-Base", TEMPLATE, "auto", False),
        ("Qwen/Qwen3-0.6B-Base", TEMPLATE, "on", True),
        ("base/model", TEMPLATE, "auto", True),
    ],
)
def test_a_template_is_used_where_a_model_was_tuned_to_it(name, template, chat, used):
    assert bool(preamble_of(name, tokenizer(template), chat).template) == used


@pytest.mark.parametrize(
    "name", ["togethercomputer/RedPajama-INCITE-Chat-3B-v1", "RedPajama-INCITE-7B-Chat", "Pythia-Chat-Base-7B"]
)
def test_models_that_know_human_and_bot_are_asked_so(name):
    assert preamble_of(name, tokenizer()).template == f"<human>: {INSTRUCTION}\n<bot>: "
    assert preamble_of(name, tokenizer(), "off").template == ""


def test_a_template_that_is_demanded_and_not_there_is_told():
    with pytest.raises(EngineError, match="has no chat template"):
        preamble_of("someone/model", tokenizer(), "on")


@pytest.mark.parametrize(
    "template", ["{{ raise_exception('no\nuser') }}", "{% if %}", "nothing", "{{ messages[9] + 1 }}"]
)
def test_a_template_that_cannot_be_used_is_told(template):
    with pytest.raises(EngineError, match=r'^[^\n]* of someone/model [^\n]* set chat = "off"\.$'):
        preamble_of("someone/model", tokenizer(template))


def test_a_template_that_leaves_no_room_is_told(chat_folder):
    with pytest.raises(EngineError, match="raise the setting context"):
        load(str(chat_folder), context=130)


def test_a_start_token_stays_where_the_window_cuts_unless_the_model_says_otherwise():
    assert preamble_of("m", tokenizer(start=True)).kept == (0,)
    assert preamble_of("m", tokenizer(start=True), window_without_start=True).kept == ()
    assert preamble_of("m", tokenizer(start=True), window_without_start=True).start == (0,)
    assert preamble_of("m", tokenizer()).start == ()


def test_every_prompt_of_a_model_with_a_start_token_begins_with_it(store, tiny_folders):
    _, choices = play(store, load(str(tiny_folders["llama"]), context=240), "123123")
    assert choices[0].prompt == OPENING
    assert not choices[-1].prompt.startswith(OPENING[:8])  # past the window
    for choice in choices:
        assert choice.prompt_ids[0] == 0
        assert 0 not in choice.prompt_ids[1:]
