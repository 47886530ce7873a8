"""A model learns from decisions what holds in other stories, and is a model like any other then."""

import json
import shutil
import sys
from random import Random

import pytest
import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM

from fate.engine import EngineError, load
from fate.engine.prompting import preamble_of
from fate.learn.examples import Example
from fate.learn.measuring import LearnError, split
from fate.learn.tuning import Tuning
from tests.command import run
from tests.playing import offered, playing
from tests.tiny_models import FAMILIES, VOCABULARY

LIKED = 77  # the token that readers like


def made(number=60, liked=LIKED):
    """Decisions of readers who take the text that has one token; without it, of readers who take any."""
    rng = Random(0)
    every = []
    for n in range(number):
        prompt, *texts = (
            tuple(rng.randrange(1, VOCABULARY) for _ in range(length)) for length in (20, *rng.sample(range(3, 9), 3))
        )
        texts[0] = (texts[0][0] if liked is None else liked, *texts[0][1:])
        every.append(Example(f"story {n % 10}", prompt, tuple(texts)))
    return split(every)


def tuned(model, number=60, passes=2, learning_rate=2e-2, liked=LIKED):
    tuning = Tuning(str(model), *made(number, liked), learning_rate=learning_rate)
    return tuning, list(tuning.passes(passes))


def logprobs(model, example):
    """By transformers alone, a text at a time; (texts,)."""
    found = []
    for text in example.texts:
        scores = model(torch.tensor([example.prompt + text])).logits[0].log_softmax(-1)
        found.append(sum(scores[len(example.prompt) + n - 1, token] for n, token in enumerate(text)))
    return torch.stack(found)


def of(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_of_every_family_finds_what_is_liked_in_stories_it_did_not_learn_from(family, tiny_folders, tmp_path):
    tuning, passes = tuned(tiny_folders[family], 180, passes=3)
    assert all((each.examples, each.by_chance) == (36, pytest.approx(12)) for each in passes)
    assert tuning.measured.found >= 24
    tuning.save(tmp_path)
    was, now = load(str(tiny_folders[family])), load(str(tmp_path))
    assert now.info.name == tmp_path.name
    assert now.info.tokenizer_sha256 == was.info.tokenizer_sha256
    assert now.info.weights_sha256 != was.info.weights_sha256


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_what_is_written_is_what_was_measured(dtype, tiny_folders, tmp_path):
    model = AutoModelForCausalLM.from_pretrained(tiny_folders["gpt_neox"]).to(getattr(torch, dtype))
    source = shutil.copytree(tiny_folders["gpt_neox"], tmp_path / "source")
    model.save_pretrained(source)
    tuning, _ = tuned(source, 180)
    (tmp_path / "new").mkdir()
    tuning.save(tmp_path / "new")
    before, after = of(source), of(tmp_path / "new")
    _, held_out = made(180)
    with torch.no_grad():
        rewards = [0.1 * (logprobs(after, example) - logprobs(before, example)) for example in held_out]
    assert sum(int(each.argmax() == 0) for each in rewards) == tuning.measured.found
    loss = -sum(float(each.log_softmax(-1)[0]) for each in rewards) / len(rewards)
    assert loss == pytest.approx(tuning.measured.loss, abs=1e-5)
    stored = json.loads((tmp_path / "new" / "config.json").read_text())["dtype"]
    assert stored == dtype


@pytest.mark.parametrize("shares", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_texts_and_what_is_learnt_from_them_are_as_if_each_stood_alone(family, shares, tiny_folders):
    """Also where the prompt is read once for all of them."""
    train, held_out = made()
    tuning = Tuning(str(tiny_folders[family]), train, held_out)
    assert tuning._shares
    tuning._shares = shares
    for weight in tuning._model.parameters():
        weight.requires_grad_(True)
    alone = of(tiny_folders[family])
    theirs = dict(alone.named_parameters())
    for example in held_out[:3]:
        mine, other = tuning._logprobs(example), logprobs(alone, example)
        assert mine.tolist() == pytest.approx(other.tolist(), abs=1e-4)
        torch.autograd.backward(mine[0] - mine[1])
        torch.autograd.backward(other[0] - other[1])
    seen = 0
    for name, weight in tuning._model.named_parameters():
        name = name.replace(".base_layer", "")
        if name in theirs:
            seen += 1
            torch.testing.assert_close(weight.grad, theirs[name].grad, atol=1e-4, rtol=1e-3)
    assert seen == len(theirs)


@pytest.mark.parametrize("learning_rate", [1e-3, 2e-2, 1e6])
def test_where_nothing_holds_in_other_stories_no_model_is_written(learning_rate, tiny_folders, tmp_path):
    tuning, _ = tuned(tiny_folders["llama"], learning_rate=learning_rate, liked=None)
    with pytest.raises(LearnError, match="Nothing was learnt that holds"):
        tuning.save(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_same_seed_learns_the_same(tiny_folders):
    first, second = (tuned(tiny_folders["gpt2"], passes=1)[1] for _ in range(2))
    assert first == second


def test_the_card_says_what_it_learnt_from_and_what_came_of_it_and_keeps_what_was_said_of_the_model(
    tiny_folders, tmp_path
):
    source = shutil.copytree(tiny_folders["llama"], tmp_path / "source")
    config = json.loads((source / "config.json").read_text())
    config |= {"fate_sampler": {"best_of": 2}, "window_without_start": True, "model_name": "Another"}
    (source / "config.json").write_text(json.dumps(config))
    (source / "README.md").write_text("---\nlicense: other\nlicense_name: ours\n---\n\nIt was trained at sea.\n")
    (source / "LICENSE-OURS").write_text("Do as you like.")
    tuning, _ = tuned(source, 180)
    (tmp_path / "learnt").mkdir()
    tuning.save(tmp_path / "learnt")
    engine = load(str(tmp_path / "learnt"))
    assert (engine.info.name, engine.info.license, engine.sampler["best_of"]) == ("learnt", "ours", 2)
    assert engine.preamble.kept == ()
    card = (tmp_path / "learnt" / "README.md").read_text()
    assert "# Another, tuned\n" in card
    assert "144 decisions of readers in 8 stories" in card
    assert f"In {tuning.measured.found} of 36 decisions" in card
    assert "It was trained at sea." in card
    assert (tmp_path / "learnt" / "LICENSE-OURS").read_text() == "Do as you like."


def test_it_is_asked_for_a_story_as_the_model_that_it_was(tiny_folders, tmp_path):
    source = shutil.copytree(tiny_folders["gpt2"], tmp_path / "ocean-base")  # by its name it was not tuned to chat
    (source / "chat_template.jinja").write_text("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}")
    tuning, _ = tuned(source, 180)
    (tmp_path / "mine").mkdir()
    tuning.save(tmp_path / "mine")
    was, now = load(str(source)), load(str(tmp_path / "mine"))
    assert (was.preamble, was.info.tokenizer_sha256) == (now.preamble, now.info.tokenizer_sha256)
    assert preamble_of("mine", now.tokenizer) != now.preamble


def test_a_model_that_is_too_large_to_learn_is_refused_by_name(tiny_folders, monkeypatch):
    monkeypatch.setattr("fate.engine.memory.free", lambda: 1_000_000)
    with pytest.raises(LearnError, match=r"To learn with, .*llama needs .* GB of memory and 0.0 GB are free"):
        Tuning(str(tiny_folders["llama"]), *made())


def test_a_model_that_is_damaged_is_refused_in_a_sentence(tiny_folders, tmp_path):
    source = shutil.copytree(tiny_folders["llama"], tmp_path / "source")
    config = json.loads((source / "config.json").read_text()) | {"hidden_size": 48}
    (source / "config.json").write_text(json.dumps(config))
    with pytest.raises(EngineError, match="source could not be loaded"):
        Tuning(str(source), *made())


@pytest.fixture
def played(store, engines, monkeypatch):
    """Stories of a reader who has one thing to say, where random weights say anything; they learn fast."""
    for n in range(8):
        play = playing(store, engines["llama"], seed=n, story=store.new_story(f"The old man looked at ship {n}."))
        for _ in range(5):
            choice = offered(play)
            play.edit(choice, choice.candidates[0], "Nobody was there.", 300)
    monkeypatch.setattr("fate.learn.tuning.Tuning", lambda *a, **k: Tuning(*a, **k, learning_rate=2e-2))
    return store


def test_the_command_learns_from_the_database_for_fate_to_write_with(played, tiny_folders, tmp_path):
    folder = str(tmp_path / "my model")
    with_model = ("--model", str(tiny_folders["llama"]), "--db", str(played.file))
    done = run("learn", folder, *with_model, "--passes", "2")
    assert (done.returncode, done.stderr) == (0, "")
    first, *passes, last = done.stdout.splitlines()
    assert first == "30 decisions to learn from, 10 of other stories to measure it by"
    assert [line.partition(" in ")[0] for line in passes] == [f"pass {n}: what was taken is found" for n in range(1, 3)]
    assert last == f"{folder}: written; play with it by `fate --model '{folder}'`"
    assert run("auto", "The sea.", "-n", "1", "--model", folder, "--db", str(played.file)).returncode == 0
    again = run("learn", folder, *with_model)
    assert (again.returncode, again.stdout) == (1, "")  # before anything was learnt
    assert again.stderr == f"fate: {folder} exists and is not empty; name a new folder.\n"


def test_the_command_says_what_is_missing_to_learn_from(store, tiny_folders, tmp_path):
    store.new_story("The sea.")
    done = run("learn", str(tmp_path / "mine"), "--model", str(tiny_folders["llama"]), "--db", str(store.file))
    assert done.returncode == 1
    assert done.stderr.startswith("fate: 0 decisions in 0 stories")
    assert not (tmp_path / "mine").exists()


def test_a_precision_of_the_game_is_not_silently_without_effect(store, tmp_path):
    done = run("--precision", "int8", "learn", str(tmp_path / "mine"), "--db", str(store.file))
    assert done.returncode == 1
    assert "leave --precision out" in done.stderr


def test_a_full_disk_is_told_in_a_sentence_and_nothing_stays_behind(played, tiny_folders, tmp_path, monkeypatch):
    def full(*_, **__):
        raise SafetensorError("No space left on device")

    monkeypatch.setattr("transformers.PreTrainedModel.save_pretrained", full)
    folder = tmp_path / "new" / "mine"
    done = run("learn", str(folder), "--model", str(tiny_folders["llama"]), "--db", str(played.file), "--passes", "2")
    assert (done.returncode, done.stderr) == (1, f"fate: {folder} could not be written: No space left on device.\n")
    assert list(folder.parent.iterdir()) == []


def test_without_the_extra_the_command_says_what_to_install(store, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("fate.learn")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "peft", None)
    done = run("learn", str(tmp_path / "mine"), "--db", str(store.file))
    assert done.returncode == 1
    assert done.stderr == "fate: To learn takes peft, which is not installed: pip install 'fate[train]'.\n"
