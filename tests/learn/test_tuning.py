"""A model learns from choices what holds in other stories, and is a model like any other then."""

import json
import shutil
import sys
from random import Random

import pytest
import torch
from transformers import AutoModelForCausalLM

from fate.engine import load
from fate.learn import Example, LearnError, Tuning, held_out
from tests.command import run
from tests.playing import offered, playing
from tests.tiny_models import FAMILIES, VOCABULARY

LIKED = 77  # the token that readers like


def made(number, liked=LIKED):
    """Choices of readers who take the text that has one token."""
    rng = Random(0)
    every = []
    for n in range(number):
        prompt, *texts = (
            tuple(rng.randrange(1, VOCABULARY) for _ in range(length)) for length in (20, *rng.sample(range(3, 9), 3))
        )
        texts[0] = (liked if liked is not None else texts[0][0], *texts[0][1:])
        every.append(Example(f"story {n % 10}", prompt, tuple(texts)))
    return held_out(every)


def tuned(folder, into, number=60, passes=2, **options):
    tuning = Tuning(str(folder), into, *made(number, **options), learning_rate=2e-2)
    return tuning, list(tuning.passes(passes))


def scores(folder, example):
    """By transformers alone, a text at a time."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    found = []
    for text in example.texts:
        with torch.no_grad():
            logits = model(torch.tensor([example.prompt + text])).logits[0].log_softmax(-1)
        found.append(sum(float(logits[len(example.prompt) + n - 1, token]) for n, token in enumerate(text)))
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_of_every_family_finds_what_is_liked_in_stories_it_did_not_learn_from(family, tiny_folders, tmp_path):
    tuning, measured = tuned(tiny_folders[family], tmp_path / "learnt", 180, passes=3)
    assert all((each.examples, each.chance) == (36, pytest.approx(12)) for each in measured)
    assert tuning.best.found >= 24
    assert tuning.best.loss < tuning.best.even - 0.02
    tuning.save()
    # What was written is what was measured, and fate reads it like any other.
    _, measuring = made(180)
    found = losses = 0
    for example in measuring:
        before, after = (torch.tensor(scores(f, example)) for f in (tiny_folders[family], tmp_path / "learnt"))
        liked = 0.1 * (after - before)
        found += int(liked.argmax() == 0)
        losses -= float(liked.log_softmax(-1)[0])
    assert found == tuning.best.found
    assert losses / len(measuring) == pytest.approx(tuning.best.loss, abs=1e-4)
    was, now = load(str(tiny_folders[family])), load(str(tmp_path / "learnt"))
    assert now.info.name == "learnt"
    assert now.info.tokenizer_sha256 == was.info.tokenizer_sha256
    assert now.info.weights_sha256 != was.info.weights_sha256


def test_texts_are_scored_as_if_each_stood_alone(tiny_folders, tmp_path):
    learning, measuring = made(60)
    tuning = Tuning(str(tiny_folders["llama"]), tmp_path / "new", learning, measuring)
    with torch.no_grad():
        for example in measuring:
            assert tuning._scores(example).tolist() == pytest.approx(scores(tiny_folders["llama"], example), abs=1e-4)


def test_where_nothing_holds_in_other_stories_no_model_is_written(tiny_folders, tmp_path):
    tuning, measured = tuned(tiny_folders["llama"], tmp_path / "new", liked=None)
    assert all(each.loss > each.even for each in measured)
    with pytest.raises(LearnError, match="Nothing was learnt that holds"):
        tuning.save()
    assert list(tmp_path.iterdir()) == []


def test_the_pass_that_is_written_is_the_best_one(tiny_folders, tmp_path):
    tuning = Tuning(str(tiny_folders["llama"]), tmp_path / "new", *made(60), learning_rate=2e-2)
    losses = []
    for measured in tuning.passes(4):
        losses.append(measured.loss)
        assert tuning.best.loss == min(losses)


def test_the_same_seed_learns_the_same(tiny_folders, tmp_path):
    first, second = (tuned(tiny_folders["gpt2"], tmp_path / "new", passes=1)[1] for _ in range(2))
    assert first == second


def test_the_card_says_from_what_and_what_came_of_it_and_the_config_keeps_what_fate_reads(tiny_folders, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(tiny_folders["llama"], source)
    config = json.loads((source / "config.json").read_text())
    config |= {"fate_sampler": {"best_of": 2}, "window_without_start": True, "model_name": "Another"}
    (source / "config.json").write_text(json.dumps(config))
    (source / "README.md").write_text("---\nlicense: mit\n---\n")
    tuning, _ = tuned(source, tmp_path / "learnt")
    tuning.save()
    engine = load(str(tmp_path / "learnt"))
    assert (engine.info.name, engine.info.license, engine.sampler["best_of"]) == ("learnt", "mit", 2)
    assert engine.preamble.kept == ()
    card = (tmp_path / "learnt" / "README.md").read_text()
    assert "48 choices of readers in 8 stories" in card
    assert f"likeliest in {tuning.best.found} (4 by chance)" in card


def test_a_folder_that_is_there_is_refused_before_anything_is_learnt(tiny_folders, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(LearnError, match="mine exists and is not empty"):
        Tuning(str(tiny_folders["llama"]), tmp_path / "mine", *made(60))


def test_a_model_that_is_too_large_to_learn_is_refused_by_name(tiny_folders, tmp_path, monkeypatch):
    monkeypatch.setattr("fate.engine.memory.free", lambda: 1_000_000)
    with pytest.raises(LearnError, match=r"To learn with, .*llama needs .* GB of memory and 0.0 GB are free"):
        Tuning(str(tiny_folders["llama"]), tmp_path / "new", *made(60))


def test_the_command_learns_from_the_database_for_fate_to_write_with(store, tiny_folders, engines, tmp_path):
    model, folder = str(tiny_folders["llama"]), str(tmp_path / "mine")
    few = run("learn", folder, "--model", model, "--db", str(store.file))
    assert few.returncode == 1
    assert few.stderr.startswith("fate: 0 choices in 0 stories")
    for n in range(8):
        play = playing(store, engines["llama"], seed=n, story=store.new_story(f"The old man looked at ship {n}."))
        for _ in range(5):
            choice = offered(play)
            taken = max(choice.candidates, key=lambda c: c.written.text.count("e") / len(c.written.text))
            play.choose(choice, taken, 300)
    done = run("learn", folder, "--model", model, "--db", str(store.file), "--passes", "1")
    first, second, *_ = done.stdout.splitlines()
    assert first == "30 choices to learn from, 10 of other stories to measure it by"
    assert second.startswith("pass 1: what was taken is found in ")
    if done.returncode == 0:
        assert f"play with it by `fate --model {folder}`" in done.stdout
        assert run("auto", "The sea.", "-n", "1", "--model", folder, "--db", str(store.file)).returncode == 0
    else:
        assert done.stderr.startswith("fate: Nothing was learnt")


def test_without_the_extra_the_command_says_what_to_install(store, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("fate.learn")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "peft", None)
    done = run("learn", str(tmp_path / "mine"), "--db", str(store.file))
    assert done.returncode == 1
    assert done.stderr == "fate: To learn takes peft, which is not installed: pip install 'fate[train]'.\n"
