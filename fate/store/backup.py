"""Copies of a database beside it: before its schema changes, and one a day."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

KEPT = 3  # older copies are deleted
_TIME = "%Y%m%dT%H%M%S%fZ"


def backups(path: Path) -> list[Path]:
    """The copies of a database, the newest first."""
    name = re.compile(rf"{re.escape(path.name)}\.\d{{8}}T\d{{12}}Z\.backup")
    beside = path.parent.iterdir() if path.parent.is_dir() else ()
    return sorted((file for file in beside if name.fullmatch(file.name)), reverse=True)


def back_up(path: Path) -> Path:
    """Copy a database while others may use it. A copy never stands half made under its name.

    Raises sqlite3.Error where the database is damaged: a bad copy must not push out a good one. Raises OSError.
    """
    copy = path.with_name(f"{path.name}.{datetime.now(UTC).strftime(_TIME)}.backup")
    part = copy.with_suffix(".part")
    os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600))
    try:
        with closing(sqlite3.connect(path)) as old, closing(sqlite3.connect(part)) as new:
            old.backup(new)
            if not _is_sound(new):
                raise sqlite3.DatabaseError("database disk image is malformed")
        os.replace(part, copy)
    finally:
        part.unlink(missing_ok=True)
    for old_copy in backups(path)[KEPT:]:
        old_copy.unlink()
    return copy


def back_up_daily(path: Path) -> None:
    """Copy a database that has changed since its last copy, if that is a day old."""
    newest = next(iter(backups(path)), None)
    if newest is not None:
        since = datetime.strptime(newest.name.split(".")[-2], _TIME).replace(tzinfo=UTC)
        changed = max(file.stat().st_mtime for file in (path, _wal(path)) if file.exists())
        if datetime.now(UTC) - since < timedelta(days=1) or changed < since.timestamp():
            return
    back_up(path)


def can_be_restored(path: Path) -> str | None:
    """None where a copy may take a database's place, or else why it may not."""
    if not path.exists():
        return None
    if _is_in_use(path):
        return "another program has it open"
    with suppress(sqlite3.Error), closing(sqlite3.connect(path)) as db:
        if _is_sound(db) and db.execute("SELECT count(*) FROM alembic_version").fetchone():
            return "it is sound"
    return None


def restore(path: Path, copy: Path) -> Path | None:
    """Put a copy in a database's place; returns where the damaged one is kept, if there was one. Raises OSError.

    At every moment there is a file under the database's name.
    """
    aside = path.with_name(f"{path.name}.{datetime.now(UTC).strftime(_TIME)}.damaged") if path.exists() else None
    ready = path.with_name(f"{path.name}.restoring")
    shutil.copy2(copy, ready)
    if aside:
        shutil.copy2(path, aside)
    # The log of the damaged file must not be read into the restored one.
    if _wal(path).exists():
        os.replace(_wal(path), f"{aside or path}.damaged-wal")
    path.with_name(f"{path.name}-shm").unlink(missing_ok=True)
    os.replace(ready, path)
    return aside


def _wal(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _is_sound(db: sqlite3.Connection) -> bool:
    return bool(db.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))


def _is_in_use(path: Path) -> bool:
    """Whether any connection of another program is open: each holds a lock on these bytes (sqlite.org/lockingv3)."""
    try:
        import fcntl
    except ImportError:  # not on Windows, where a file in use cannot be replaced anyway
        return False
    with path.open("rb+") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 510, 0x40000002)
        except OSError:
            return True
    return False
