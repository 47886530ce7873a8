"""The real program against a disk that is full, a file that is locked, and another fate beside it."""

import os
import resource
import shutil
import sqlite3
import subprocess
import tempfile
from pathlib import Path

import pytest

from fate.dataset.check import check
from fate.store import Store, StoreError
from tests.dataset.playing import play
from tests.terminal import FATE

OPENING = "Once upon a time there was a girl who kept a lantern in her pocket."


def game(folder, db, answers, **more):
    """Play by lines; every "Kept" on standard output is an acknowledgement."""
    return subprocess.Popen(
        [FATE, "play", OPENING, "--plain", "--model", str(folder), "--db", str(db)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    ), "\n".join(answers) + "\n"


def decisions(db):
    store = Store(db, writes=False)
    assert list(check(store)) == []
    (count,) = next(iter(store.query("SELECT count(*) FROM decision")))
    store.close()
    return count


def test_two_programs_that_write_at_once_lose_nothing(tiny_folders, tmp_path):
    games = [game(tiny_folders["llama"], tmp_path / "fate.db", ["1", "2", "r", "3", "t", "q"]) for _ in range(2)]
    acknowledged = 0
    for process, answers in games:
        process.stdin.write(answers)
        process.stdin.close()
    for process, _ in games:
        out, error = process.stdout.read(), process.stderr.read()
        assert process.wait() == 0, error
        acknowledged += out.count("Kept")
    # A random model may end its story; an answer is then for that, and acknowledged in other words.
    assert decisions(tmp_path / "fate.db") == acknowledged > 4
    assert len(Store(tmp_path / "fate.db", writes=False).stories()) == 2


@pytest.mark.parametrize("room", [120_000, 200_000, 260_000])
def test_a_full_disk_is_one_sentence_and_what_was_acknowledged_is_there(tiny_folders, tmp_path, room):
    def no_file_grows_beyond_room():
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    process, answers = game(
        tiny_folders["llama"], tmp_path / "fate.db", ["r"] * 80, preexec_fn=no_file_grows_beyond_room
    )
    out, error = process.communicate(answers, timeout=120)
    assert process.returncode == 1
    assert error.startswith("fate: ")
    assert error.count("\n") == 1
    assert "room" in error
    assert decisions(tmp_path / "fate.db") == out.count("Kept") > 0


def test_a_database_that_another_program_holds_is_told_and_nothing_is_acknowledged(tiny_folders, tmp_path):
    db = tmp_path / "fate.db"
    store = Store(db)
    play(store, "1")
    store.close()
    holder = sqlite3.connect(db, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    process, answers = game(tiny_folders["llama"], db, ["1", "q"])
    out, error = process.communicate(answers, timeout=120)
    holder.close()
    assert process.returncode == 1
    assert error.startswith(f"fate: {db} is in use by another program")
    assert "Kept" not in out
    assert decisions(db) == 1


@pytest.fixture
def folder_of_others():
    """A folder in which somebody else may read and nobody may write."""
    folder = Path(tempfile.mkdtemp())
    store = Store(folder / "fate.db")
    play(store, "12")
    store.close()
    (folder / "fate.db").chmod(0o444)
    folder.chmod(0o555)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # permissions are nothing to root
    yield folder
    os.seteuid(user)
    folder.chmod(0o755)
    shutil.rmtree(folder)


def test_a_database_that_may_not_be_written_is_refused_for_play_and_read_for_export(folder_of_others):
    before = (folder_of_others / "fate.db").read_bytes()
    with pytest.raises(StoreError, match="cannot be written"):
        Store(folder_of_others / "fate.db")
    assert decisions(folder_of_others / "fate.db") == 2
    assert (folder_of_others / "fate.db").read_bytes() == before
    assert [file.name for file in folder_of_others.iterdir()] == ["fate.db"]
