import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlmodel import SQLModel, create_engine, text

import fate.store.opening as opening
from fate.dataset.check import check
from fate.store import Store, StoreError

SCHEMAS = Path(__file__).parent / "schemas"
TABLES = ("story", "choice", "candidate", "decision", "model", "annotator")


def test_a_new_file_is_private_and_safe(tmp_path):
    store = Store(tmp_path / "new" / "fate.db")
    store.new_story("Once.")
    for file in (tmp_path / "new").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with store._engine.connect() as connection:
        values = {
            pragma: connection.exec_driver_sql(f"PRAGMA {pragma}").scalar()
            for pragma in ("journal_mode", "foreign_keys", "synchronous", "busy_timeout")
        }
    assert values == {"journal_mode": "wal", "foreign_keys": 1, "synchronous": 2, "busy_timeout": 5000}
    store.close()


def test_the_migrations_make_exactly_the_tables_that_are_declared(tmp_path):
    Store(tmp_path / "fate.db").close()
    engine = create_engine(f"sqlite:///{tmp_path / 'fate.db'}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), SQLModel.metadata) == []
    engine.dispose()


def test_head_is_the_newest_migration():
    script = ScriptDirectory(str(Path(opening.__file__).parent / "migrations"))
    assert script.get_current_head() == opening.HEAD


@pytest.mark.parametrize("location", ["{}/fate.db", "sqlite:///{}/fate.db"])
def test_a_path_and_an_address_name_the_same_file(tmp_path, location):
    store = Store(location.format(tmp_path))
    assert store.file == tmp_path / "fate.db"
    store.close()


@pytest.mark.parametrize("location", ["postgresql://localhost/fate", "sqlite://", "sqlite:///:memory:", "nonsense://"])
def test_another_database_is_refused(location):
    with pytest.raises(StoreError, match="fate keeps its data in SQLite"):
        Store(location)


def test_a_question_mark_in_a_name_is_part_of_the_name(tmp_path):
    store = Store(tmp_path / "what?.db")
    store.new_story("Once.")
    store.close()
    assert [file.name for file in tmp_path.iterdir()] == ["what?.db"]


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("Buy milk. " * 200)
    with pytest.raises(StoreError, match=r"notes\.txt is not a fate database"):
        Store(file)
    assert file.read_text() == "Buy milk. " * 200


def test_a_database_of_another_program_is_refused(tmp_path):
    with closing(sqlite3.connect(tmp_path / "other.db")) as db:
        db.execute("CREATE TABLE birds (name TEXT)")
    before = (tmp_path / "other.db").read_bytes()
    with pytest.raises(StoreError, match=r"other\.db is not a fate database"):
        Store(tmp_path / "other.db")
    assert (tmp_path / "other.db").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["other.db"]


@pytest.mark.parametrize(
    ("version", "why"),
    [("9999", r"was written by a newer fate \(schema 9999\)"), ("0000", "is not a fate database, or no longer")],
)
def test_a_database_of_another_schema_is_refused_and_stays_as_it_is(version, why, tmp_path):
    Store(tmp_path / "fate.db").close()
    with closing(sqlite3.connect(tmp_path / "fate.db", isolation_level=None)) as db:
        db.execute("UPDATE alembic_version SET version_num = ?", (version,))
        db.execute("PRAGMA journal_mode=DELETE")
    before = (tmp_path / "fate.db").read_bytes()
    with pytest.raises(StoreError, match=why):
        Store(tmp_path / "fate.db")
    assert (tmp_path / "fate.db").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["fate.db"]


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="could not be opened"):
        Store(tmp_path / "file" / "fate.db")


def test_a_database_that_another_program_holds_is_told(tmp_path, monkeypatch):
    store = Store(tmp_path / "fate.db")
    with store._engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout=50")
        connection.commit()
        other = sqlite3.connect(tmp_path / "fate.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with (
            pytest.raises(StoreError, match="in use by another program"),
            opening.readable_errors(store.file),
        ):
            connection.execution_options(**{opening.WRITES: True}).execute(text("SELECT 1"))
        other.close()
    store.close()


def test_two_writers_wait_for_each_other(tmp_path):
    stores = [Store(tmp_path / "fate.db") for _ in range(2)]
    threads = [threading.Thread(target=lambda s=s: [s.new_story(f"Story {i}.") for i in range(20)]) for s in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stores[0].stories()) == 40
    for store in stores:
        store.close()


@pytest.mark.parametrize("schema", sorted(SCHEMAS.glob("*.db")), ids=lambda file: file.stem)
def test_a_database_of_every_released_schema_opens_with_all_that_is_in_it(tmp_path, schema):
    file = tmp_path / "fate.db"
    shutil.copy(schema, file)
    with sqlite3.connect(schema) as old:
        before = {table: old.execute(f"SELECT count(*) FROM {table}").fetchone() for table in TABLES}
    store = Store(file)
    (story,) = store.stories()
    assert store.path(story.id).passages
    assert [choice.decision.kind for choice in store.choices()] == ["chosen", "chosen", "none_good", "chosen"]
    assert list(check(store)) == []
    store.close()
    with sqlite3.connect(file) as new:
        assert {table: new.execute(f"SELECT count(*) FROM {table}").fetchone() for table in TABLES} == before
        assert new.execute("SELECT count(*) FROM pair").fetchone() == (6,)
        ((once,),) = new.execute("SELECT DISTINCT best_of = 1 FROM candidate WHERE origin = 'generated'")
        assert once


def test_a_copy_is_made_before_the_schema_changes(tmp_path):
    file = tmp_path / "fate.db"
    shutil.copy(SCHEMAS / "0001.db", file)
    Store(file).close()
    (copy,) = tmp_path.glob("fate.db.*.backup")
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with sqlite3.connect(copy) as db:
        assert db.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)
        assert db.execute("SELECT count(*) FROM choice").fetchone() == (4,)


def test_a_migration_that_fails_changes_nothing(tmp_path, monkeypatch):
    file = tmp_path / "fate.db"
    shutil.copy(SCHEMAS / "0001.db", file)
    with sqlite3.connect(file) as db:
        db.execute("UPDATE decision SET candidate_id = 'nobody' WHERE candidate_id IS NOT NULL")
    with pytest.raises(StoreError, match="refer to nothing"):
        Store(file)
    with sqlite3.connect(file) as db:
        assert db.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)
        assert "origin" not in {row[1] for row in db.execute("PRAGMA table_info(candidate)")}


def test_reading_leaves_a_database_and_its_folder_as_they_are(tmp_path):
    store = Store(tmp_path / "here" / "fate.db")
    store.new_story("Once.")
    store.close()
    before = {file: file.read_bytes() for file in (tmp_path / "here").iterdir()}
    store = Store(tmp_path / "here" / "fate.db", writes=False)
    assert len(store.stories()) == 1
    with pytest.raises(StoreError, match="cannot be written"):
        store.new_story("Twice.")
    store.close()
    assert {file: file.read_bytes() for file in (tmp_path / "here").iterdir()} == before


def test_an_older_database_is_not_changed_by_reading(tmp_path):
    shutil.copy(SCHEMAS / "0001.db", tmp_path / "fate.db")
    with pytest.raises(opening.OlderSchemaError, match="brings it up to date"):
        Store(tmp_path / "fate.db", writes=False)
    assert (tmp_path / "fate.db").read_bytes() == (SCHEMAS / "0001.db").read_bytes()


def test_opening_a_file_again_leaves_the_locks_of_those_who_have_it_open(tmp_path):
    file = tmp_path / "fate.db"
    store = Store(file)
    store.new_story("Once.")
    Store(file).close()
    Store(file, writes=False).close()
    # Another program must still see that the file is in use: it cannot take the write-ahead log away.
    code = f"import sqlite3; sqlite3.connect({str(file)!r}, timeout=0).execute('PRAGMA journal_mode=DELETE')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "database is locked" in done.stderr
    store.close()


def test_a_choice_that_was_once_answered_with_its_parameters_in_sight_counts_as_revealed(tmp_path):
    file = tmp_path / "fate.db"
    shutil.copy(SCHEMAS / "0002.db", file)
    with sqlite3.connect(file) as db:
        (answered,) = db.execute("SELECT choice_id FROM decision WHERE kind = 'none_good'").fetchone()
        db.execute("UPDATE decision SET blind = 0 WHERE choice_id = ?", (answered,))
    store = Store(file)
    assert [choice.id for choice in store.choices() if choice.revealed] == [answered]  # not the one that was undone
    store.close()
