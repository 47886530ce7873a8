import os
import sqlite3
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from fate.store import Store, StoreError, backup
from fate.store.backup import KEPT, back_up, back_up_daily, backups, can_be_restored, restore
from fate.store.opening import readable_errors


def with_story(file, opening="Once."):
    store = Store(file)
    store.new_story(opening)
    store.close()
    return file


def aged(copy, days):
    """A copy as if it had been made days ago."""
    then = datetime.now(UTC) - timedelta(days=days)
    name = copy.with_name(f"fate.db.{then.strftime('%Y%m%dT%H%M%S%fZ')}.backup")
    os.replace(copy, name)
    return name


def test_a_copy_is_private_and_complete_while_the_database_is_in_use(tmp_path):
    store = Store(tmp_path / "fate.db")
    store.new_story("Once.")  # still in the write-ahead log
    copy = back_up(store.file)
    store.close()
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with sqlite3.connect(copy) as db:
        assert db.execute("SELECT opening FROM story").fetchall() == [("Once.",)]


def test_only_the_newest_copies_are_kept(tmp_path):
    file = with_story(tmp_path / "fate.db")
    made = [back_up(file) for _ in range(KEPT + 2)]
    assert backups(file) == made[: -KEPT - 1 : -1]


def test_a_copy_is_made_once_a_day_and_only_of_what_has_changed(tmp_path):
    file = with_story(tmp_path / "fate.db")
    back_up_daily(file)
    with_story(file)
    back_up_daily(file)
    assert len(backups(file)) == 1
    aged(backups(file)[0], days=2)
    back_up_daily(file)
    assert len(backups(file)) == 2
    long_ago = (datetime.now(UTC) - timedelta(days=9)).timestamp()
    for copy in backups(file)[:1]:
        copy.unlink()
    os.utime(file, (long_ago, long_ago))
    back_up_daily(file)
    assert len(backups(file)) == 1


def test_a_damaged_database_pushes_out_no_copy(tmp_path):
    file = with_story(tmp_path / "fate.db")
    good = back_up(file)
    damage(file)
    with pytest.raises(StoreError, match="is damaged"), readable_errors(file):
        back_up(file)
    assert backups(file) == [good]
    assert not list(tmp_path.glob("*.part"))


def damage(file, start=4096, stop=None):
    data = bytearray(file.read_bytes())
    stop = stop or len(data)
    data[start:stop] = b"\xff" * (stop - start)
    file.write_bytes(data)


@pytest.mark.parametrize("how", ["pages", "header", "truncated", "bit"])
def test_a_damaged_file_is_refused_with_the_newest_copy_offered_and_restored(tmp_path, how):
    file = with_story(tmp_path / "fate.db")
    back_up(file)
    with_story(file, "After the copy.")
    data = file.read_bytes()
    if how == "pages":
        damage(file)
    elif how == "header":
        damage(file, 0, 100)
    elif how == "truncated":
        file.write_bytes(data[: len(data) // 2])
    else:  # one bit, in the type of the page that lists the tables
        file.write_bytes(data[:100] + bytes([data[100] ^ 8]) + data[101:])
    with pytest.raises(StoreError, match=r"`fate restore --db \S+/fate.db` puts the copy of 20\S+ ..:.. in its place"):
        Store(file).stories()
    (copy,) = backups(file)
    aside = restore(file, copy)
    assert aside.exists()
    assert copy.exists()
    store = Store(file)
    assert [story.title for story in store.stories()] == ["Once."]
    store.close()


def test_the_log_of_the_damaged_file_is_not_read_into_the_restored_one(tmp_path):
    file = with_story(tmp_path / "fate.db")
    back_up(file)
    store = Store(file)
    store.new_story("In the log only.")
    log = (tmp_path / "fate.db-wal").read_bytes()
    store.close()
    (tmp_path / "fate.db-wal").write_bytes(log)
    restore(file, backups(file)[0])
    assert not (tmp_path / "fate.db-wal").exists()
    store = Store(file)
    assert len(store.stories()) == 1
    store.close()


def test_a_copy_that_fails_leaves_nothing_behind(tmp_path, monkeypatch):
    file = with_story(tmp_path / "fate.db")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backup.os, "replace", full)
    with pytest.raises(StoreError, match="No space left"), readable_errors(file):
        back_up(file)
    assert sorted(f.name for f in tmp_path.iterdir() if f.is_file()) == ["fate.db"]


@pytest.mark.parametrize("other", ["fate.db.bak", "what1.db", "fate.db.20260101T000000000000Z.backup"])
def test_the_copies_of_one_database_are_not_those_of_another(tmp_path, other):
    name = "what?.db" if other == "what1.db" else "fate.db"
    theirs = [back_up(with_story(tmp_path / other)) for _ in range(KEPT)]
    mine = back_up(with_story(tmp_path / name))
    assert mine.exists()
    assert mine in backups(tmp_path / name)
    assert not set(theirs) & set(backups(tmp_path / name))
    assert all(copy.exists() for copy in theirs)


def test_a_file_that_only_looks_like_a_copy_is_none(tmp_path):
    file = with_story(tmp_path / "fate.db")
    (tmp_path / "fate.db.zzz.mine.backup").write_text("my own notes")
    back_up_daily(file)
    assert len(backups(file)) == 1


def test_a_name_with_signs_of_a_pattern_has_its_copies(tmp_path):
    file = with_story(tmp_path / "s[1].db")
    made = [back_up(file) for _ in range(KEPT + 1)]
    assert backups(file) == made[:0:-1]


def test_a_sound_database_and_one_in_use_are_not_replaced(tmp_path):
    file = with_story(tmp_path / "fate.db")
    assert can_be_restored(file) == "it is sound"
    holder = subprocess.Popen(
        [sys.executable, "-c", f"from fate.store import Store; s = Store({str(file)!r}); print('open'); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout.readline() == "open\n"
    assert can_be_restored(file) == "another program has it open"
    holder.communicate("\n")
    damage(file)
    assert can_be_restored(file) is None


def test_a_missing_database_is_restored_and_nothing_is_aside(tmp_path):
    file = with_story(tmp_path / "fate.db")
    copy = back_up(file)
    file.unlink()
    assert can_be_restored(file) is None
    assert restore(file, copy) is None
    assert len(Store(file).stories()) == 1
