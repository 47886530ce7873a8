import csv
import hashlib
import json
import os
import shutil
import sqlite3
import stat

import datasets
import pyarrow.parquet as pq
import pytest
import yaml

from fate.dataset import ExportError, ExportOptions, export
from fate.dataset.rows import SCHEMAS
from fate.paths import FolderError
from fate.store import Store
from tests.dataset.playing import OPENING, play
from tests.fakes import TEXTS

EDITED = " Nobody was there."


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def rows(folder, config, split="train"):
    return pq.read_table(folder / config / f"{split}.parquet").to_pylist()


def header(folder):
    return yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])


@pytest.mark.parametrize("file_format", ["parquet", "jsonl", "csv"])
def test_load_dataset_reads_every_config_in_every_format(store, tmp_path, file_format):
    play(store, "12r3tew")
    exported = export(store, tmp_path / "out", ExportOptions(format=file_format))
    assert exported.rows == {"choices": 7, "pairs": 7, "unpaired": 15, "sft": 5}
    for config, count in exported.rows.items():
        loaded = datasets.load_dataset(str(tmp_path / "out"), config, split="train")
        assert len(loaded) == count
    sft = datasets.load_dataset(str(tmp_path / "out"), "sft", split="train")
    assert sft["completion"] == [TEXTS[0], TEXTS[1], TEXTS[2], EDITED, " Then it rained."]
    assert sft[0]["prompt"] == OPENING


def test_a_pair_is_what_was_taken_over_what_was_passed_over(store, tmp_path):
    play(store, "1e")
    export(store, tmp_path / "out")
    pairs = rows(tmp_path / "out", "pairs")
    assert [(p["chosen"], p["rejected"]) for p in pairs] == [
        (TEXTS[0], TEXTS[1]),
        (TEXTS[0], TEXTS[2]),
        (EDITED, TEXTS[1]),
    ]
    assert pairs[0]["group_id"] == pairs[1]["group_id"] != pairs[2]["group_id"]
    assert [p["decision"] for p in pairs] == ["chosen", "chosen", "edited"]
    assert pairs[2]["chosen_finish_reason"] == "hand"
    assert pairs[2]["chosen_settings"] is None
    assert pairs[2]["rejected_settings"]["temperature"] > 0


def test_why_a_decision_was_made_stands_in_every_config(store, tmp_path):
    play(store, "1?p2e?")
    export(store, tmp_path / "out")
    assert [row["revealed"] for row in rows(tmp_path / "out", "choices")] == [False, True, False]
    said = [row["decisions"][0]["reason"] for row in rows(tmp_path / "out", "choices")]
    assert said == ["style", None, "style"]
    assert [row["reason"] for row in rows(tmp_path / "out", "sft")] == said
    assert [row["reason"] for row in rows(tmp_path / "out", "pairs")] == ["style", "style", None, None, "style"]


def test_a_choice_row_holds_what_is_needed_to_weigh_and_repeat_it(store, tmp_path):
    play(store, "2")
    export(store, tmp_path / "out")
    (row,) = rows(tmp_path / "out", "choices")
    (choice,) = store.choices()
    assert tuple(row["input_ids"]) == choice.prompt_ids
    assert row["attention_mask"] == [1] * len(choice.prompt_ids)
    assert row["model"]["weights_sha256"] == "w" * 64
    assert row["story"]["opening"] == OPENING
    assert [d["kind"] for d in row["decisions"]] == ["chosen"]
    for exported, candidate in zip(row["candidates"], choice.candidates, strict=True):
        written = candidate.written
        assert exported["log_density"] == candidate.log_density
        assert tuple(exported["output_ids"]) == written.output_ids
        for name in ("uniforms", "logprobs", "warped_logprobs"):
            assert tuple(exported[name]) == getattr(written, name)
        for name in written.settings.__dataclass_fields__:
            assert exported[name] == getattr(written.settings, name)
        assert (exported["seed"], exported["kept"]) == (written.seed, written.kept)


def test_white_space_at_the_end_of_a_prompt_belongs_to_the_completion(store, tmp_path):
    play(store, "11", texts=(" He slept.\n\n", " He woke.", " He left."))
    export(store, tmp_path / "out")
    third = rows(tmp_path / "out", "pairs")[2]
    assert third["prompt"] == OPENING + " He slept."
    assert third["chosen"] == "\n\n He slept.\n\n"
    exact = rows(tmp_path / "out", "choices")[1]
    assert exact["prompt"] == OPENING + " He slept.\n\n"


def test_a_choice_that_was_undone_gives_no_pairs_and_a_config_without_rows_is_left_out(store, tmp_path):
    play(store, "1u")
    assert export(store, tmp_path / "out").rows == {"choices": 1, "pairs": 0, "unpaired": 0, "sft": 0}
    assert not (tmp_path / "out" / "pairs").exists()
    assert [c["config_name"] for c in header(tmp_path / "out")["configs"]] == ["choices"]
    assert len(datasets.load_dataset(str(tmp_path / "out"), "choices", split="train")) == 1


def test_splits_are_by_story_and_stay_when_the_data_grow(store, tmp_path):
    options, stories = ExportOptions(split=0.6), 0
    while stories < 12 or not all((tmp_path / "one" / "choices" / f"{s}.parquet").exists() for s in ("train", "test")):
        play(store, "12", opening=f"Story {stories}.")
        stories += 1
        if stories >= 12:  # their names are random: seldom, one split has none of twelve
            shutil.rmtree(tmp_path / "one", ignore_errors=True)
            export(store, tmp_path / "one", options)
    places = {}
    for split in ("train", "test"):
        for row in rows(tmp_path / "one", "choices", split):
            assert places.setdefault(row["story"]["id"], split) == split
    assert set(places.values()) == {"train", "test"}
    for number in range(stories, stories + 8):
        play(store, "1", opening=f"Story {number}.")
    export(store, tmp_path / "two", options)
    later = {r["story"]["id"]: s for s in ("train", "test") for r in rows(tmp_path / "two", "choices", s)}
    assert len(later) == stories + 8
    assert places.items() <= later.items()
    loaded = datasets.load_dataset(str(tmp_path / "two"), "pairs")
    assert set(loaded) == {"train", "test"}


def test_only_what_was_asked_for_is_exported(store, tmp_path):
    play(store, "1", annotator="Ann")
    play(store, "2", annotator="Ben")
    only_ben = ExportOptions(configs=["pairs"], annotators=["Ben"])
    assert export(store, tmp_path / "ben", only_ben).rows == {"pairs": 2}
    assert {row["annotator"] for row in rows(tmp_path / "ben", "pairs")} == {"Ben"}
    _, second = store.query("SELECT created_at FROM choice ORDER BY created_at")
    assert export(store, tmp_path / "late", ExportOptions(since=second[0])).rows["choices"] == 1
    with pytest.raises(ExportError, match="No choice fits"):
        export(store, tmp_path / "none", ExportOptions(since="2999-01-01"))


def test_a_window_keeps_the_end_of_a_prompt_from_the_beginning_of_a_word(store, tmp_path):
    play(store, "111111")
    export(store, tmp_path / "out", ExportOptions(configs=["sft"], window=60))
    export(store, tmp_path / "whole", ExportOptions(configs=["sft"]))
    cut, whole = rows(tmp_path / "out", "sft"), rows(tmp_path / "whole", "sft")
    assert whole[-1]["prompt"].endswith(" " + cut[-1]["prompt"])
    assert 40 < len(cut[-1]["prompt"]) <= 60  # a token of this model is a letter
    assert cut[0] == whole[0]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"configs": ["pears"]}, "no config 'pears'"),
        ({"format": "xml"}, "no format 'xml'"),
        ({"split": 1.0}, "--split is a share between 0 and 1"),
        ({"window": 0}, "--window is a number of tokens"),
    ],
)
def test_options_that_cannot_be_are_told(options, sentence):
    with pytest.raises(ExportError, match=sentence):
        ExportOptions(**options)


def test_the_card_states_what_the_hub_asks_for_and_what_a_person_asks(store, tmp_path):
    play(store, "12re", annotator="Ann")
    export(store, tmp_path / "out", ExportOptions(licence="cc-by-4.0"))
    stated = header(tmp_path / "out")
    assert {
        "language",
        "license",
        "annotations_creators",
        "language_creators",
        "multilinguality",
        "size_categories",
        "source_datasets",
        "task_categories",
        "pretty_name",
        "tags",
        "configs",
        "dataset_info",
    } <= set(stated)
    assert stated["license"] == "cc-by-4.0"
    assert stated["size_categories"] == ["n<1K"]
    for info in stated["dataset_info"]:
        features = datasets.Features._from_yaml_list(info["features"])
        table = pq.read_table(tmp_path / "out" / info["config_name"] / "train.parquet")
        assert features == datasets.Features.from_arrow_schema(table.schema)
        assert info["splits"][0]["num_examples"] == table.num_rows
    text = (tmp_path / "out" / "README.md").read_text()
    for part in ("4 choices in 1 stories", "chosen 2", "edited 1", "none_good 1", "Ann 4", "| fake | not stated | 4 |"):
        assert part in text
    assert "uniform 12" in text
    assert "temperature 0." in text


@pytest.mark.parametrize("file_format", ["parquet", "jsonl", "csv"])
def test_croissant_metadata_are_valid_and_name_the_hash_of_every_file(store, tmp_path, file_format):
    from mlcroissant import Dataset

    play(store, "12er")
    play(store, "1", opening="Another.")
    export(store, tmp_path / "out", ExportOptions(format=file_format))
    dataset = Dataset(jsonld=tmp_path / "out" / "croissant.json")
    assert not dataset.metadata.issues.errors
    assert not dataset.metadata.issues.warnings
    files = {file.relative_to(tmp_path / "out").as_posix() for file in (tmp_path / "out").glob("*/*")}
    described = {entry.content_url: entry.sha256 for entry in dataset.metadata.distribution}
    assert set(described) == files
    for name, sha256 in described.items():
        assert hashlib.sha256((tmp_path / "out" / name).read_bytes()).hexdigest() == sha256
    for config in ("choices", "pairs", "unpaired", "sft"):
        (first, *_) = dataset.records(f"{config}-train-rows")
        assert first[f"{config}-train-rows/prompt"].decode() == OPENING


def test_personal_data_and_repeated_texts_are_counted(store, tmp_path):
    play(
        store, "11", texts=(" Write to ann@example.org.", " Call +44 20 7946 0958, said @bob_9.", " In 1984 he slept.")
    )
    exported = export(store, tmp_path / "out")
    assert exported.personal
    assert exported.findings == [
        "Personal data: 1 e-mail addresses, 1 phone numbers, 1 handles.",
        "Repeated texts: 3 of 6 word for word, 0 more nearly "
        "(with an earlier text they share 70% of their sequences of 3 words).",
    ]
    assert "1 e-mail addresses" in (tmp_path / "out" / "README.md").read_text()


def test_different_personal_data_are_counted_once_over_all_that_is_read(store, tmp_path, monkeypatch):
    monkeypatch.setattr("fate.store.records._TOGETHER", 2)
    play(store, "1" * 5, texts=(" Write to ann@example.org, ann@example.org!", " He woke.", " He left."))
    play(store, "1", opening="Ask ann@example.org or @bob_9.")
    exported = export(store, tmp_path / "out")
    assert exported.findings[0] == "Personal data: 1 e-mail addresses, 0 phone numbers, 1 handles."


def test_a_phone_number_in_digits_of_another_script_is_found(store, tmp_path):
    play(store, "1", texts=(" \u0667\u0666\u0665-\u0664\u0663\u0662\u0661, she said.", " He woke.", " He left."))
    assert export(store, tmp_path / "out").findings[0].startswith("Personal data: 0 e-mail addresses, 1 phone numbers")


def test_texts_that_nearly_repeat_each_other_are_counted(store, tmp_path):
    long = " The old man looked at the grey sea and thought of the {} that he had left in the harbour."
    play(store, "1", texts=[long.format(word) for word in ("boat", "dog", "lamp")])
    exported = export(store, tmp_path / "out")
    assert exported.findings[1].startswith("Repeated texts: 0 of 3 word for word, 2 more nearly")
    assert exported.findings[1] in (tmp_path / "out" / "README.md").read_text()


def test_the_formats_hold_the_same_rows(store, tmp_path, monkeypatch):
    monkeypatch.setattr("fate.store.records._TOGETHER", 3)
    play(store, "12r3tewu")
    for file_format in ("parquet", "jsonl"):
        export(store, tmp_path / file_format, ExportOptions(format=file_format))
    for config in SCHEMAS:
        lines = (tmp_path / "jsonl" / config / "train.jsonl").read_text().splitlines()
        assert [json.loads(line) for line in lines] == rows(tmp_path / "parquet", config)


def test_personal_data_are_found_wherever_they_are_published(store, tmp_path):
    play(store, "11", opening="Write to ann@example.org.", annotator="ben@example.org")
    _, (second,) = store.query("SELECT created_at FROM choice ORDER BY created_at")
    exported = export(store, tmp_path / "out", ExportOptions(since=second))
    assert exported.personal
    assert exported.findings[0].startswith("Personal data: 2 e-mail addresses")


def test_what_only_looks_like_text_is_not_redacted(store, tmp_path):
    play(store, "1")
    with sqlite3.connect(store.file) as db:
        db.execute("UPDATE model SET name = 'org/story-7b-555-0142'")
    export(store, tmp_path / "out", ExportOptions(redact=True))
    (row,) = rows(tmp_path / "out", "choices")
    assert row["model"]["name"] == "org/story-7b-555-0142"
    assert row["input_ids"]
    assert "given way" not in (tmp_path / "out" / "README.md").read_text()


def test_a_window_never_cuts_what_was_to_be_redacted(store, tmp_path):
    play(store, "1", texts=(" Call +44 20 7946 0958 tonight, she said.", " He woke.", " He left."))
    play(store, "11", texts=(" Call +44 20 7946 0958 tonight, she said.", " He woke.", " He left."))
    for window in range(20, 60, 4):
        folder = tmp_path / str(window)
        export(store, folder, ExportOptions(configs=["sft"], redact=True, window=window))
        assert not any("7946" in row["prompt"] for row in rows(folder, "sft"))


def test_a_config_that_is_named_twice_is_written_once(store, tmp_path):
    play(store, "1")
    assert export(store, tmp_path / "out", ExportOptions(configs=["pairs", "pairs"])).rows == {"pairs": 2}


def test_the_folder_has_the_permissions_that_the_user_gives_new_folders(store, tmp_path):
    play(store, "1")
    mask = os.umask(0o077)
    try:
        export(store, tmp_path / "out")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o700


def test_redacted_rows_hold_no_personal_data_and_no_tokens_that_spell_them(store, tmp_path):
    play(store, "1", annotator="Zoe Quill")
    play(store, "11", texts=(" Write to ann@example.org.", " He woke.", " He left."), annotator="Zoe Quill")
    exported = export(store, tmp_path / "out", ExportOptions(redact=True))
    assert not exported.personal
    clean, *held = rows(tmp_path / "out", "choices")
    assert not clean["redacted"]
    assert clean["input_ids"]
    for row in held:
        assert row["redacted"]
        assert row["input_ids"] is row["candidates"][0]["output_ids"] is None
        assert row["candidates"][0]["text"] == " Write to [EMAIL]."
    assert rows(tmp_path / "out", "pairs")[-1]["prompt"] == OPENING + " Write to [EMAIL]."
    for file in (tmp_path / "out").rglob("*"):
        if file.is_file():
            assert b"ann@example" not in file.read_bytes()
            assert b"Quill" not in file.read_bytes()


def test_csv_holds_nested_values_as_json(store, tmp_path):
    play(store, "1")
    export(store, tmp_path / "out", ExportOptions(format="csv"))
    with (tmp_path / "out" / "choices" / "train.csv").open(newline="") as lines:
        csv.field_size_limit(10**9)
        (row,) = csv.DictReader(lines)
    assert len(json.loads(row["candidates"])) == 3
    assert json.loads(row["input_ids"]) == list(map(ord, OPENING))


def test_a_folder_that_holds_something_is_left_alone(store, tmp_path):
    play(store, "1")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(FolderError, match="not empty"):
        export(store, tmp_path / "out")
    assert [f.name for f in (tmp_path / "out").iterdir()] == ["thesis.txt"]


def test_an_empty_database_exports_nothing_and_leaves_no_trace(store, tmp_path):
    with pytest.raises(ExportError, match="nothing to export yet"):
        export(store, tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))


def test_a_folder_never_stands_half_written(store, tmp_path):
    play(store, "12")

    class Broken(Store):
        def batches(self, *wanted, **options):
            yield next(super().batches(*wanted, **options))
            raise OSError(28, "No space left on device")

    broken_store = Broken(store.file)
    with pytest.raises(FolderError, match="No space left"):
        export(broken_store, tmp_path / "out")
    broken_store.close()
    assert not list(tmp_path.glob("*out*"))


def test_a_deleted_story_is_in_no_export(store, tmp_path):
    gone = play(store, "12")
    play(store, "1", opening="Another.")
    store.put(gone, "deleted")
    assert export(store, tmp_path / "out").rows["choices"] == 1
    store.put(gone, "archived")
    assert export(store, tmp_path / "again").rows["choices"] == 3
