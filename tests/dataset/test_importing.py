import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from fate.dataset import ExportOptions, export
from fate.dataset.check import check
from fate.dataset.importing import DataImportError, import_from
from fate.store import Store, StoreError
from tests.dataset.playing import OPENING, play

TABLES = ("story", "model", "annotator", "choice", "candidate", "decision", "reason")
SCHEMAS = Path(__file__).parents[1] / "store" / "schemas"


@pytest.fixture
def other(tmp_path):
    other = Store(tmp_path / "other.db")
    yield other
    other.close()


def contents(store):
    return {table: sorted(store.query(f"SELECT * FROM {table}"), key=repr) for table in TABLES}


def test_another_database_comes_over_whole_and_only_once(store, other):
    story = play(other, "1?2r?3te?uwp1", annotator="Ann")
    merged = import_from(store, other.file)
    assert (merged.added["choice"], merged.problems) == (7, [])
    assert contents(store) == contents(other)
    assert store.path(story) == other.path(story)
    again = import_from(store, other.file)
    assert not again.added
    assert again.known["choice"] == 7
    assert contents(store) == contents(other)


@pytest.mark.parametrize("name", ["what?.db", "a#b.db", "100%.db", "s[1].db"])
def test_a_strange_name_is_a_name(store, tmp_path, name):
    shutil.copy(SCHEMAS / "0001.db", tmp_path / name)
    assert import_from(store, tmp_path / name).added["choice"] == 4
    assert {file.name for file in tmp_path.iterdir() if file.is_file()} >= {name}
    assert not (tmp_path / "what").exists()


@pytest.mark.parametrize("file_format", ["parquet", "jsonl", "csv"])
def test_an_exported_folder_comes_back_as_the_database_it_was_made_from(store, other, tmp_path, file_format):
    play(other, "1?2r?3te?uwp1", annotator="Ann")
    play(other, "3", opening="Another.")
    export(other, tmp_path / "out", ExportOptions(format=file_format, split=0.5))
    merged = import_from(store, tmp_path / "out")
    assert merged.problems == []
    assert contents(store) == contents(other)
    assert list(check(store)) == []
    assert not import_from(store, tmp_path / "out").added


def test_what_is_here_and_what_comes_stand_side_by_side(store, other):
    play(store, "1", annotator="reader")
    play(other, "2", annotator="reader")
    mine = store.stories()[0].id
    assert import_from(store, other.file).problems == []
    assert len(store.stories()) == 2
    assert store.path(mine).passages
    names = {name for (name,) in store.query("SELECT name FROM annotator")}
    assert names == {"reader", "reader 2"}  # two people, though they have one name
    assert not import_from(store, other.file).added


def test_a_story_that_went_on_elsewhere_brings_its_new_choices_and_moves_no_reader(store, other, tmp_path):
    story = play(store, "1")
    with sqlite3.connect(tmp_path / "copy.db") as copy, sqlite3.connect(store.file) as source:
        source.backup(copy)
    elsewhere = Store(tmp_path / "copy.db")
    from tests.playing import offered, playing

    play_on = playing(elsewhere, story=story)
    choice = offered(play_on)
    play_on.choose(choice, choice.candidates[0], 300)
    elsewhere.close()
    merged = import_from(store, tmp_path / "copy.db")
    assert merged.added["choice"] == 1
    assert len(store.path(story).passages) == 1


def test_a_row_that_says_something_else_is_told_and_left_as_it_is(store, other):
    story = play(other, "1")
    import_from(store, other.file)
    with sqlite3.connect(other.file) as db:
        db.execute("UPDATE candidate SET text = 'forged', temperature = 9 WHERE position = 0")
    merged = import_from(store, other.file)
    assert not merged.added
    (problem,) = merged.problems
    assert problem.endswith("is here with another text, temperature")
    assert store.path(story).passages == (" The door opened by itself, and a cold wind came in.",)


def test_what_is_left_out_with_a_conflict_is_told(store, other):
    play(other, "1")
    import_from(store, other.file)
    with sqlite3.connect(other.file) as db:
        db.execute("UPDATE model SET threads = 99")
    merged = import_from(store, other.file)
    ((choice_id,),) = other.query("SELECT id FROM choice")
    assert merged.problems == [f"choice {choice_id} was left out: model fake is here with another threads"]


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("UPDATE choice SET created_at = 'yesterday'", "created_at that is no time"),
        ("DELETE FROM candidate WHERE position = 2", "2 generated candidates"),
        ("UPDATE candidate SET kept = 'many' WHERE position = 0", "wrong kept"),
        ("UPDATE decision SET candidate_id = NULL", "is chosen and its candidate is None"),
        ("UPDATE candidate SET draft_id = 'nobody', origin = 'edited' WHERE position = 2", "draft in another choice"),
    ],
)
def test_rows_that_are_not_as_they_must_be_are_left_out(store, other, statement, sentence):
    play(other, "1")
    play(store, "1", opening="My own.")
    with sqlite3.connect(other.file) as db:
        db.execute(statement)
    merged = import_from(store, other.file)
    assert not merged.added
    assert sentence in merged.problems[0]
    assert list(check(store)) == []
    store.new_story("The clock still runs.")


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": {"a": 1}},
        {"candidates": None},
        {"story": {}},
        {"input_ids": [10**30]},
        {"step": "first"},
    ],
)
def test_an_exported_row_that_is_none_adds_nothing(store, other, tmp_path, change):
    play(other, "1")
    export(other, tmp_path / "out", ExportOptions(format="jsonl", configs=["choices"]))
    file = tmp_path / "out" / "choices" / "train.jsonl"
    file.write_text(json.dumps(json.loads(file.read_text()) | change) + "\n")
    told = []
    try:
        told = import_from(store, tmp_path / "out").problems
    except DataImportError as error:
        told = [str(error)]
    assert len(told) == 1
    assert not list(store.choices())


def test_a_choice_whose_beginning_is_missing_is_left_out(store, other, tmp_path):
    play(other, "12")
    (_, (second,)) = other.query("SELECT created_at FROM choice ORDER BY created_at")
    export(other, tmp_path / "out", ExportOptions(since=second))
    merged = import_from(store, tmp_path / "out")
    assert not merged.added
    assert "that it continues is not here" in merged.problems[0]


def test_redacted_choices_are_left_out(store, other, tmp_path):
    play(other, "1", opening="Write to ann@example.org.")
    play(other, "1")
    export(other, tmp_path / "out", ExportOptions(redact=True))
    merged = import_from(store, tmp_path / "out")
    assert merged.added["choice"] == 1
    assert len(merged.problems) == 1
    assert store.stories()[0].title == OPENING


def test_an_older_database_is_read_and_left_as_it_is(store, tmp_path):
    shutil.copy(SCHEMAS / "0001.db", tmp_path / "old.db")
    assert import_from(store, tmp_path / "old.db").added["choice"] == 4
    assert (tmp_path / "old.db").read_bytes() == (SCHEMAS / "0001.db").read_bytes()


def test_what_is_imported_later_than_now_does_not_stop_the_clock(store, other):
    story = play(other, "1")
    with sqlite3.connect(other.file) as db:
        db.execute("UPDATE decision SET created_at = '2999-01-01T00:00:00.000000+00:00'")
    import_from(store, other.file)
    from tests.playing import playing

    assert playing(store, story=story).undo()
    assert store.path(story).passages == ()
    assert store.open_choice(story) is not None


def test_half_an_import_is_none(store, other, tmp_path):
    play(other, "123")
    export(other, tmp_path / "out", ExportOptions(format="jsonl", configs=["choices"]))
    file = tmp_path / "out" / "choices" / "train.jsonl"
    first, second, _ = file.read_text().splitlines()
    file.write_text(f"{first}\n{second[:-40]}\n")
    with pytest.raises(DataImportError, match="is not the `choices` of a fate export"):
        import_from(store, tmp_path / "out")
    assert not list(store.choices())


def test_what_cannot_be_imported_is_told(store, tmp_path):
    with pytest.raises(DataImportError, match="There is no"):
        import_from(store, tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataImportError, match="holds no `choices`"):
        import_from(store, tmp_path / "empty")
    (tmp_path / "notes.txt").write_text("Buy milk. " * 100)
    with pytest.raises(StoreError, match="is not a fate database"):
        import_from(store, tmp_path / "notes.txt")
    with pytest.raises(DataImportError, match="is the database itself"):
        import_from(store, store.file)


def test_a_reason_and_a_look_at_the_parameters_come_after_what_is_here_already(store, other):
    story = play(other, "12")
    import_from(store, other.file)
    first, second = (choice for choice in other.choices())
    ((said,),) = other.query("SELECT id FROM decision WHERE choice_id = ?", first.id)
    other.explain(said, "plot")
    other.reveal(second.id)
    merged = import_from(store, other.file)
    assert (dict(merged.added), merged.problems) == ({"reason": 1}, [])
    assert contents(store) == contents(other)
    assert store.path(story) == other.path(story)


def test_an_export_from_before_there_were_reasons_and_several_texts_is_read(store, other, tmp_path):
    play(other, "12")
    export(other, tmp_path / "out", ExportOptions(format="jsonl", configs=["choices"]))
    file = tmp_path / "out" / "choices" / "train.jsonl"
    older = [json.loads(line) for line in file.read_text().splitlines()]
    for row in older:
        del row["revealed"]
        for candidate in row["candidates"]:
            del candidate["best_of"]
        for decision in row["decisions"]:
            del decision["reason"]
    file.write_text("".join(json.dumps(row) + "\n" for row in older))
    assert import_from(store, tmp_path / "out").added["choice"] == 2
    assert contents(store) == contents(other)
