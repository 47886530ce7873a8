"""The embedded storyteller is a model folder like any other, and it writes English."""

import itertools
import json
import math
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from random import Random

import numpy as np
import pytest
import torch
from safetensors import safe_open
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from fate.config import read_config
from fate.engine import load
from fate.openings import openings
from fate.paths import packaged, storyteller


@pytest.fixture(scope="module")
def engine():
    return load(str(storyteller()))


def test_the_folder_is_complete_and_small():
    files = {file.name: file.stat().st_size for file in storyteller().iterdir() if file.is_file()}
    assert {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "README.md"} <= set(files)
    assert files["model.safetensors"] <= 40_000_000
    assert json.loads((storyteller() / "config.json").read_text())["architectures"] == ["LlamaForCausalLM"]


def test_it_has_eight_to_twenty_million_parameters():
    with safe_open(storyteller() / "model.safetensors", "pt") as file:
        count = sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    assert 8e6 <= count <= 20e6


def test_the_card_gives_the_credit_that_is_due():
    card = (storyteller() / "README.md").read_text()
    for credit in (
        "Llama-Fate",
        "Built with Llama",
        "Copyright (c) 2024 Erik Hyrkas",
        "Copyright (c) 2025 KlusAI Labs",
        "TinyStories",
        "Eldan",
        "CDLA-Sharing-1.0",
        "African Storybook",
        "StoryWeaver",
        "CC BY 4.0",
        "public domain",
        "preferences.jsonl.gz",
        "typed.txt.gz",
    ):
        assert credit in card
    assert (storyteller() / "childrens_ccby_ATTRIBUTION.tsv").exists()


def test_a_story_starts_with_the_start_token_and_text_survives_the_tokenizer(engine):
    text = 'It was cold.\n\n"Who is there?" she asked -- and waited.  Café 🦊'
    ids = engine.encode(text)
    assert ids[0] == engine.tokenizer.bos_token_id
    assert engine.decode(ids) == text
    cut = engine.window(ids * 100, 48)
    assert len(cut) <= engine.context - 48
    assert engine.preamble.kept == ()  # it takes a text without its start token for the middle of a story


def test_what_suits_it_is_what_the_recipe_writes(train, engine):
    tokenizer = PreTrainedTokenizerFast.from_pretrained(storyteller())
    config = train.new_model(train.Recipe(hidden=64, layers=1, heads=1), tokenizer).config
    assert config.fate_sampler == engine.sampler


def test_it_writes_english_sentences_after_every_opening(engine):
    words = set(re.findall(r"[a-z']+", " ".join(opening.text for opening in openings()).lower()))
    known = common = total = 0
    ranges = read_config().ranges.settings_ranges({**engine.sampler, "best_of": 6})  # more cost more, and end, too
    for number, opening in enumerate(openings()):
        drawn = ranges.draw(Random(number), 3)
        generation = engine.generate(engine.encode(opening.text), drawn, (1, 2, 3))
        while not generation.done:
            generation.step()
        assert len({row.text for row in generation.rows}) == 3
        for row in generation.rows:
            assert row.finish_reason in ("sentence", "eos")
            found = re.findall(r"[a-z']+", row.text.lower())
            total += len(found)
            known += sum(word in words for word in found)
            common += sum(word in {"the", "a", "and", "to", "of", "in", "was", "he", "she", "it"} for word in found)
    assert total > 200
    assert known / total > 0.3
    assert 0.1 < common / total < 0.6


def test_anyone_can_measure_bits_per_byte(tmp_path):
    text = tmp_path / "stories.txt"
    text.write_text("The old man looked at the sea.\n\nHe was tired.\n<|endoftext|>\nA fox ran home.\n<|endoftext|>\n")
    train = packaged("storyteller") / "train.py"
    done = subprocess.run(
        [sys.executable, str(train), "--evaluate", str(storyteller()), str(text)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert 0.3 < float(re.fullmatch(r"([\d.]+) bits per byte\n", done.stdout)[1]) < 3


@pytest.fixture
def run_recipe(train, tmp_path, monkeypatch, capsys):
    """Train on a corpus of a few lines, with the command's own words; returns what it said."""
    (tmp_path / "corpus").mkdir()
    stories = [f"Story {i}. The fox met the hare. They went home." for i in range(300)]
    (tmp_path / "corpus/tinystories.txt").write_text("\n<|endoftext|>\n".join(stories))

    def run(*words: str) -> str:
        folders = ("--work", str(tmp_path / "work"), "--out", str(tmp_path / "out"))
        monkeypatch.setattr(sys, "argv", ["train.py", str(tmp_path / "corpus"), "--no-compile", *folders, *words])
        train.main()
        return capsys.readouterr().out

    return run


SMALL = {"vocabulary": 512, "hidden": 64, "layers": 1, "heads": 2, "intermediate": 128}
SHORT = {"context": 64, "short_context": 64, "batch": 1024, "tokens": 40 * 1024, "warmup": 1, "horizon": 1}


def test_the_recipe_trains_and_resumes(run_recipe, tmp_path):
    small = [f"--set={name}={value}" for name, value in SMALL.items()]
    for tokens, said in ((8192, "step 1/1 "), (2 * 8192, "resumed at step 1")):
        told = run_recipe(*small, f"--set=tokens={tokens}")
        assert said in told
        assert json.loads(told[told.index("{") :])["bits_per_byte"]["tinystories"] > 0
    engine = load(str(tmp_path / "out"))
    assert (engine.context, engine.preamble.kept) == (512, ())


def test_no_story_of_a_row_sees_the_one_before_it(train):
    end, shape = 0, {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=50, initializer_range=0.2, **shape)).eval()
    before, story = torch.tensor([[7, 8, 9, 10]]), torch.tensor([[end, 3, 4, 5, 6]])
    row = torch.cat([before, story], 1)
    packed = model(row, attention_mask=train.story_mask(row, end).float()).logits
    torch.testing.assert_close(packed[:, :4], model(before).logits, rtol=0, atol=1e-5)
    torch.testing.assert_close(packed[:, 4:], model(story).logits, rtol=0, atol=1e-5)
    assert (model(row).logits[:, 4:] - packed[:, 4:]).abs().max() > 0.01  # without the mask it does


NAMES = ["<|endoftext|>", "She", "Lily", "ĠLily", "Sue", "ĠSue", "Mia", "ĠMia", "Tim", "ĠTim", "Ben", "ĠBen", "Ġran"]
VOCABULARY = {token: i for i, token in enumerate(NAMES)}
STORY = np.array([VOCABULARY[t] for t in ["<|endoftext|>", "Lily", "ĠTim", "Ġran", "ĠLily", "She", "ĠSue"]], np.uint16)


def renamed(train, share=1.0, source="tinystories", seed=0):
    rename = train.Renaming({"tinystories": [STORY], "fairytales": [STORY]}, VOCABULARY, share)
    return rename(source, STORY, np.random.default_rng(seed)).tolist()


def test_a_story_told_of_other_children_is_the_same_but_for_their_names(train):
    girls, boys = {2, 4, 6}, {8, 10}  # without a space before them
    seen = set()
    for seed in range(50):
        end, lily, tim, ran, lily_again, she, sue = renamed(train, seed=seed)
        assert (end, ran, she) == tuple(STORY[[0, 3, 5]])
        assert lily in girls
        assert lily_again == lily + 1  # the same name, with the space
        assert sue - 1 in girls - {lily}
        assert tim - 1 in boys
        seen.add((lily, sue, tim))
    assert len(seen) > 6  # of the twelve that there are


def test_only_the_share_of_the_sources_with_such_names_is_told_again(train):
    assert renamed(train, share=0.0) == STORY.tolist()
    assert renamed(train, source="fairytales") == STORY.tolist()
    other = sum(renamed(train, share=0.5, seed=seed) != STORY.tolist() for seed in range(200))
    assert 50 < other < 100  # half of them, less those that are given the names that they had


def test_a_vocabulary_without_names_leaves_stories_alone(train):
    rename = train.Renaming({}, {"a": 0, "b": 1}, 1.0)
    story = np.array([0, 1, 1], np.uint16)
    assert rename("tinystories", story, np.random.default_rng(0)).tolist() == [0, 1, 1]


SENTENCES = ["<|endoftext|>", "Ann", "ĠAnn", "Ben", "ĠBen", '"', 'Ġ"', "Ġran", ".", '?"', '."']
SENTENCES += ["Mr", "ĠMr", "ĠZoe", "ĊĊ"]
WORDS = {token: i for i, token in enumerate(SENTENCES)}
SCENE = ["<|endoftext|>", "Ann", "Ġran", ".", 'Ġ"', "Ben", '?"', "ĠAnn", "Ġran", ".", 'Ġ"', "Ben", ".", "ĠAnn", '."']
SCENE += ["ĠMr", ".", "ĠBen", "Ġran", ".", "ĠZoe"]


def scenes(train, rest=2, share=1.0, story=SCENE):
    """What a story becomes with a hundred seeds."""
    scene, story = train.Scenes(WORDS, share, rest), np.array([WORDS[token] for token in story], np.uint16)
    assert scene.middle not in WORDS.values()
    tokens = {i: token for token, i in WORDS.items()} | {scene.middle: "…"}
    return ["".join(tokens[i] for i in scene(story, np.random.default_rng(seed)).tolist()) for seed in range(100)]


def test_a_scene_begins_with_a_sentence_and_says_that_it_is_from_the_middle(train):
    # Not after "who?", which a sentence may go on from, nor inside a quotation, nor after "Mr.", nor with a word that
    # is known only after a space.
    later = '…"Ben.ĠAnn."ĠMr.ĠBenĠran.ĠZoe'
    assert set(scenes(train)) == {'…"Ben?"ĠAnnĠran.Ġ' + later[1:], later, "…Mr.ĠBenĠran.ĠZoe"}


def test_a_paragraph_ends_its_quotations(train):
    speech = ["<|endoftext|>", '"', "Ann", "Ġran", ".", "ĠBen", "Ġran", ".", "ĊĊ", "Mr", ".", "ĠBen", "Ġran", "."]
    assert set(scenes(train, story=speech)) == {"".join(speech)}
    assert set(scenes(train, story=[*speech, "ĠAnn", "Ġran", "."])) == {"…AnnĠran."}


def test_a_scene_leaves_enough_of_its_story(train):
    assert len(set(scenes(train, rest=11))) == 2
    assert len(set(scenes(train, rest=12))) == 1
    assert set(scenes(train, rest=len(SCENE))) == {"".join(SCENE)}


def test_only_the_share_of_stories_begins_in_the_middle(train):
    assert set(scenes(train, share=0.0)) == {"".join(SCENE)}
    assert 30 < scenes(train, share=0.5).count("".join(SCENE)) < 70


def test_a_hidden_token_is_seen_by_itself_alone(train):
    row, hidden = torch.tensor([[0, 3, 4, 0, 5, 6]]), torch.tensor([[False, False, False, True, False, False]])
    seen = train.story_mask(row, 0, hidden)[0, 0] == 0
    assert [torch.nonzero(line).flatten().tolist() for line in seen] == [[0], [0, 1], [0, 1, 2], [3], [4], [4, 5]]


def test_the_recipe_is_several_runs_each_from_the_model_before(train, run_recipe, tmp_path, monkeypatch):
    small = train.Recipe(**SMALL, tokens=8192)
    second = replace(small, kept=1.0, layers=3, temperature=2.0, weights={"tinystories": 4.0, "typed": 0.0})
    monkeypatch.setattr(train, "RUNS", (small, second))
    for said in ("step 1/1 ", "resumed at step 1"):
        assert run_recipe().count(said) == 2
    # The second run kept all of what it began with: a deeper model that computes the same, half as sure of itself.
    first, last = (LlamaForCausalLM.from_pretrained(folder) for folder in (tmp_path / "work/1/model", tmp_path / "out"))
    assert (len(first.model.layers), len(last.model.layers)) == (1, 3)
    ids = torch.arange(60).reshape(2, 30)
    torch.testing.assert_close(first(ids).logits / 2, last(ids).logits, rtol=0, atol=1e-3)


def test_a_rehearsal_is_all_runs_in_a_folder_apart(train, run_recipe, tmp_path, monkeypatch):
    small = train.Recipe(**SMALL, tokens=400 * 8192)
    monkeypatch.setattr(train, "RUNS", (small, replace(small, tokens=8192)))
    told = run_recipe("--rehearse", str(tmp_path / "rehearsal"))
    assert [line.split()[1] for line in told.splitlines() if line.startswith("step ")] == ["2/2", "1/1"]
    assert load(str(tmp_path / "rehearsal")).context == 512
    assert not (tmp_path / "work").exists()
    assert not (tmp_path / "out").exists()


def test_a_run_learns_from_the_runs_before_it_that_are_its_teachers(train, run_recipe, tmp_path, monkeypatch):
    small, taught = train.Recipe(**SMALL, tokens=8192), []
    monkeypatch.setattr(train, "RUNS", (small, small, small, replace(small, taught=0.5, teachers=(1, 3))))
    monkeypatch.setattr(train, "run", lambda recipe, corpus, start, other, teachers, *rest: taught.append(teachers))
    run_recipe()
    assert taught == [[], [], [], [tmp_path / "work/1/model", tmp_path / "work/3/model"]]


def test_a_run_that_goes_on_from_an_earlier_one_is_written_in_the_mean_with_the_one_before_it(
    train, run_recipe, tmp_path, monkeypatch
):
    small, kept = train.Recipe(**SMALL, tokens=8192, warmup=1, lr_adamw=0.1, kept=0.0), 0.25

    def written(sister):
        monkeypatch.setattr(train, "RUNS", (small, replace(small, seed=1), sister))
        run_recipe()
        shutil.rmtree(tmp_path / "work/3")
        folders = *(tmp_path / f"work/{number}/model" for number in (1, 2)), tmp_path / "out"
        return [LlamaForCausalLM.from_pretrained(folder).state_dict() for folder in folders]

    sister = replace(small, seed=2, origin=1)
    first, second, third = written(sister)
    mean = written(replace(sister, kept=kept))[2]
    expected = {name: third[name].float().lerp(second[name].float(), kept) for name in first}

    def equal(one):
        return all(torch.allclose(one[name].float(), expected[name], rtol=1e-3, atol=1e-4) for name in expected)

    assert [equal(one) for one in (first, second, third, mean)] == [False, False, False, True]
    # And without the second run it comes out the same.
    monkeypatch.setattr(train, "RUNS", (small, sister))
    shutil.rmtree(tmp_path / "work/2")
    run_recipe()
    alone = LlamaForCausalLM.from_pretrained(tmp_path / "out").state_dict()
    assert all(torch.equal(alone[name], third[name]) for name in first)


def test_what_a_run_leaves_out_is_not_in_its_vocabulary(train, tmp_path):
    corpus = {name: [f"The {name} met the hare {i} times." for i in range(300)] for name in ("fox", "zebra")}
    small = train.Recipe(**SMALL, tokens=8192)
    for number, (weight, known) in enumerate(((0.0, False), (1.0, True))):
        folder = tmp_path / str(number)
        recipe = replace(small, weights={"fox": 4.0, "zebra": weight})
        train.run(recipe, corpus, None, None, [], folder / "work", folder / "out", compiled=False)
        assert ('"Ġzebra"' in (folder / "out/tokenizer.json").read_text()) == known


def test_typed_texts_are_of_a_length_whole_and_begin_differently(train):
    texts = train.read_stories(storyteller() / "typed.txt.gz")
    assert f"{len(texts):,} texts" in (storyteller() / "README.md").read_text()
    assert len({" ".join(text.split()[:12]) for text in texts}) == len(texts)
    for text in texts:
        assert text.isascii(), text
        assert 60 <= len(text.split()) <= 330, text
        assert text.count('"') % 2 == 0, text
        assert text.rstrip("\"'")[-1] in ".!?", text


@pytest.mark.parametrize("native", [True, False])
def test_a_processor_computes_in_bfloat16_only_if_it_need_not_imitate_it(train, monkeypatch, native):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
    assert train.arithmetic("cpu") == (torch.bfloat16 if native else torch.float32)
    assert train.arithmetic("cuda") == torch.bfloat16


def test_every_run_learns_from_earlier_ones_alone(train):
    assert any(recipe.teachers for recipe in train.RUNS)
    for number, recipe in enumerate(train.RUNS, 1):
        assert all(1 <= teacher < number for teacher in recipe.teachers)
        assert bool(recipe.teachers) == (recipe.taught > 0)
        assert 0 <= recipe.origin < number


def test_no_run_learns_from_typed_texts(train):
    assert {recipe.weights["typed"] for recipe in train.RUNS} == {0.0}


@pytest.mark.parametrize(
    "words",
    [
        "--set=steps=5",
        "--set=seed=x",
        "--set=origin=1",
        "--set=taught=0.5",
        "--set=preferred=1",
        "--set=preferred=1 --set=judged=9 --start=a",
        "--set=preferred=1 --set=piece=256 --start=a",
        "--teacher=a",
        "--rehearse=a --start=b",
    ],
)
def test_a_run_that_cannot_be_meant_says_so(run_recipe, words):
    with pytest.raises(SystemExit) as stopped:
        run_recipe(*words.split())
    assert stopped.value.code == 2


def test_what_is_held_out_is_never_trained_on(train):
    stories = [f"Story {i}. The fox met the hare." for i in range(400)]
    out = [story for story in stories if train.held_out(story)]
    assert 0 < len(out) < 20
    tokenizer = train.train_tokenizer({"a": stories}, 300)
    seen = [tokenizer.decode(ids, skip_special_tokens=True) for ids in train.encode({"a": stories}, tokenizer)["a"]]
    assert seen == [story for story in stories if not train.held_out(story)]
    # Nor does the vocabulary know them.
    assert "Ġdragon" not in train.train_tokenizer({"a": [*stories, *(f"{story} dragon" for story in out)]}, 300).vocab


def test_every_step_is_a_whole_batch_also_where_an_epoch_is_shorter_than_the_mean(train):
    rng = np.random.default_rng(0)
    tokens = {"a": [np.full(n, 1, np.uint16) for n in (*rng.integers(10, 20, 200), *[20_000] * 3)]}
    recipe = train.Recipe(context=64, short_context=64, batch=1024, weights={"a": 0.15})
    steps = itertools.islice(
        train.batches(recipe, tokens, train.Renaming({}, {}, 0.0), train.Scenes({}, 0.0, 0), 0), 60
    )
    assert {rows.shape for rows in steps} == {(16, 65)}


def test_bits_per_byte_are_those_of_the_whole_text_in_any_window(train, engine):
    story = "The fox met the hare.\n\nThey went home. " * 40  # several windows
    ids = engine.tokenizer(story, add_special_tokens=False)["input_ids"]
    uniform = LlamaForCausalLM(
        LlamaConfig(vocab_size=1024 * 8, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1)
    ).eval()
    torch.nn.init.zeros_(uniform.lm_head.weight)
    measured = train.bits_per_byte(uniform, engine.tokenizer, [story], 64)
    assert measured == pytest.approx(13 * len(ids) / len(story.encode()), rel=1e-5)


def test_a_model_learns_what_its_teachers_predict_instead_of_the_text(train, tmp_path):
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=8, initializer_range=0.3, eos_token_id=0, attn_implementation="eager", **shape)
    torch.manual_seed(0)
    teachers = [LlamaForCausalLM(config).eval() for _ in range(2)]
    story = np.array([0, *([1, 2, 3] * 40)], np.uint16)
    ids = torch.from_numpy(story[:64].astype(np.int64))[None]
    with torch.no_grad():
        theirs = (sum(teacher(ids).logits.softmax(-1) for teacher in teachers) / 2).log()

    def missed(taught: float) -> tuple[float, float]:
        """Nats by which what was learnt differs from what the teachers predict, and from the text."""
        recipe = train.Recipe(**SHORT, taught=taught, weights={"tinystories": 20.0})
        torch.manual_seed(1)
        model, work = LlamaForCausalLM(config), tmp_path / str(taught)
        work.mkdir()
        rename, scene = train.Renaming({}, {}, 0.0), train.Scenes({str(i): i for i in range(8)}, 0.0, 0)
        train.train(recipe, model, teachers, {"tinystories": [story]}, rename, scene, [], work, compiled=False)
        with torch.no_grad():
            ours = model(ids).logits.log_softmax(-1)
        text = -ours[0, :-1].gather(1, ids[0, 1:, None]).mean()
        return (theirs.exp() * (theirs - ours)).sum(-1).mean().item(), text.item()

    from_teachers, from_text = missed(1.0), missed(0.0)
    assert from_teachers[0] < 0.1 < from_text[0]
    assert from_text[1] < 0.1 < from_teachers[1]


def test_no_end_is_learnt_where_a_typed_text_stops(train, tmp_path):
    config = LlamaConfig(
        vocab_size=8,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        eos_token_id=0,
        attn_implementation="eager",
    )
    recipe = train.Recipe(**SHORT, weights={"typed": 20.0, "tinystories": 20.0})
    story = np.array([0, *([1, 2, 3] * 4)], np.uint16)
    rename, scene = train.Renaming({}, {}, 0.0), train.Scenes({str(i): i for i in range(8)}, 0.0, 0)

    def learnt(source: str, *teachers: LlamaForCausalLM) -> LlamaForCausalLM:
        torch.manual_seed(1)
        model, work = LlamaForCausalLM(config), tmp_path / f"{source} {len(teachers)}"
        work.mkdir()
        taught = replace(recipe, taught=0.5 if teachers else 0.0)
        train.train(taught, model, teachers, {source: [story] * 12}, rename, scene, [], work, compiled=False)
        return model.eval()

    def after(model: LlamaForCausalLM, ids: np.ndarray) -> torch.Tensor:
        """The probabilities of what comes next."""
        with torch.no_grad():
            return model(torch.from_numpy(ids.astype(np.int64))[None]).logits[0, -1].softmax(-1)

    ends = learnt("tinystories")
    assert after(ends, story)[0] > 0.3
    # Neither from the text, nor from a teacher who knows that it ends there.
    for typed in (learnt("typed"), learnt("typed", ends)):
        assert after(typed, story)[0] < 0.1
        assert after(typed, story)[1] > 2 * after(ends, story)[1]  # as if it went on
        assert after(typed, story[:1])[0] < 0.1  # nor that a story may be empty


def test_a_scene_begins_with_end_for_the_model_and_with_nothing_for_its_teachers(train, tmp_path):
    config = LlamaConfig(
        vocab_size=len(WORDS),
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        eos_token_id=0,
    )
    model, teacher = LlamaForCausalLM(config), LlamaForCausalLM(config).eval()
    read = {}

    def remember(reader, _, given):
        read[reader] = given["input_ids"], given["attention_mask"][:, 0] == 0

    for reader in (model, teacher):
        reader.register_forward_pre_hook(remember, with_kwargs=True)
    story = np.array([WORDS[token] for token in SCENE * 9 if token != "<|endoftext|>"], np.uint16)
    story = np.insert(story, 0, WORDS["<|endoftext|>"])
    recipe = train.Recipe(
        context=64, short_context=64, batch=1024, tokens=1024, taught=0.5, weights={"tinystories": 30.0}
    )
    scene = train.Scenes(WORDS, 1.0, rest=8)
    train.train(
        recipe,
        model,
        [teacher],
        {"tinystories": [story]},
        train.Renaming({}, {}, 0.0),
        scene,
        [],
        tmp_path,
        compiled=False,
    )
    (ids, seen), (same, theirs) = read[model], read[teacher]
    assert torch.equal(ids, same)
    assert ids.max() < len(WORDS)
    row, begin = next((row, begin) for row, begin in torch.nonzero(ids == 0).tolist() if begin < 60)
    assert seen[row, begin + 1, begin]
    assert not theirs[row, begin + 1, begin]
    assert theirs[row, begin + 2, begin + 1]
