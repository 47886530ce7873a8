import json
from random import Random

import datasets
import pytest

from fate.core.sampling import SettingsRanges
from fate.dataset import ExportError, export
from fate.playthrough import Playthrough
from fate.policy import UniformPolicy
from fate.store import Store
from tests.fakes import TEXTS, FakeEngine

OPENING = "The old man looked at the sea."


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def play(store, keys, texts=TEXTS, opening=OPENING):
    playthrough = Playthrough(
        store, FakeEngine(texts), UniformPolicy(SettingsRanges()), store.new_story(opening), rng=Random(0)
    )
    for key in keys:
        if key == "u":
            playthrough.undo()
            continue
        choice = list(playthrough.offer())[-1].choice
        if key == "r":
            playthrough.reroll(choice, 300, blind=True)
        else:
            playthrough.choose(choice, choice.candidates[int(key) - 1], 300, blind=True)


def test_load_dataset_reads_choices_and_pairs(store, tmp_path):
    play(store, "12r3")
    assert export(store, tmp_path / "out") == {"choices": 4, "pairs": 6}
    pairs = datasets.load_dataset(str(tmp_path / "out"), "pairs", split="train")
    choices = datasets.load_dataset(str(tmp_path / "out"), "choices", split="train")
    assert len(pairs) == 6
    assert len(choices) == 4
    assert pairs[0]["prompt"] == OPENING
    assert (pairs[0]["chosen"], pairs[0]["rejected"]) == (TEXTS[0], TEXTS[1])
    assert pairs[2]["prompt"] == OPENING + TEXTS[0]
    assert len(set(pairs["group_id"])) == 3
    assert choices["decision"] == ["chosen", "chosen", "none_good", "chosen"]
    assert [len(row) for row in choices["candidates"]] == [3, 3, 3, 3]


def test_a_choice_row_holds_what_is_needed_to_weigh_and_repeat_it(store, tmp_path):
    play(store, "2")
    export(store, tmp_path / "out")
    row = json.loads((tmp_path / "out" / "choices.jsonl").read_text())
    (choice,) = store.choices()
    assert tuple(row["input_ids"]) == choice.prompt_ids
    assert row["model"]["weights_sha256"] == "w" * 64
    for exported, candidate in zip(row["candidates"], choice.candidates, strict=True):
        assert exported["log_density"] == candidate.log_density
        assert tuple(exported["output_ids"]) == candidate.written.output_ids
        assert tuple(exported["uniforms"]) == candidate.written.uniforms
        assert exported["temperature"] == candidate.written.settings.temperature
        assert exported["seed"] == candidate.written.seed


def test_white_space_at_the_end_of_a_prompt_belongs_to_the_completion(store, tmp_path):
    play(store, "11", texts=(" He slept.\n\n", " He woke.", " He left."))
    export(store, tmp_path / "out")
    rows = [json.loads(line) for line in (tmp_path / "out" / "pairs.jsonl").read_text().splitlines()]
    assert rows[2]["prompt"] == OPENING + " He slept."
    assert rows[2]["chosen"] == "\n\n He slept.\n\n"


def test_a_choice_that_was_undone_gives_no_pairs(store, tmp_path):
    play(store, "1u")
    assert export(store, tmp_path / "out") == {"choices": 1, "pairs": 0}
    assert not (tmp_path / "out" / "pairs.jsonl").exists()
    assert len(datasets.load_dataset(str(tmp_path / "out"), "choices", split="train")) == 1


def test_a_folder_that_holds_something_is_left_alone(store, tmp_path):
    play(store, "1")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(ExportError, match="not empty"):
        export(store, tmp_path / "out")
    assert [f.name for f in (tmp_path / "out").iterdir()] == ["thesis.txt"]


def test_an_empty_database_exports_nothing_and_leaves_no_trace(store, tmp_path):
    with pytest.raises(ExportError, match="nothing to export yet"):
        export(store, tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))


def test_a_folder_never_stands_half_written(store, tmp_path, monkeypatch):
    play(store, "12")

    def broken(self):
        yield from list(Store.choices(self))[:1]
        raise OSError(28, "No space left on device")

    class Broken(Store):
        choices = broken

    broken_store = Broken(store.file)
    with pytest.raises(ExportError, match="No space left"):
        export(broken_store, tmp_path / "out")
    broken_store.close()
    assert not list(tmp_path.glob("*out*"))
