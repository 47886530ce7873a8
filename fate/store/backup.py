"""Copies of a database beside it: before its schema changes, and one a day."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

KEPT = 3  # older copies are deleted
_TIME = "%Y%m%dT%H%M%S%fZ"


def backups(path: Path) -> list[Path]:
    """The copies of a database, the newest first."""
    return sorted(path.parent.glob(f"{path.name}.*.backup"), reverse=True)


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
            if new.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
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


def restore(path: Path, copy: Path) -> Path:
    """Put a copy in a damaged database's place; returns where the damaged one went. Raises OSError."""
    aside = path.with_name(f"{path.name}.{datetime.now(UTC).strftime(_TIME)}.damaged")
    ready = path.with_name(f"{path.name}.restoring")
    shutil.copy2(copy, ready)
    # The log of the damaged file must not be read into the restored one.
    for file, target in ((_wal(path), f"{aside}-wal"), (path, aside)):
        if file.exists():
            os.replace(file, target)
    path.with_name(f"{path.name}-shm").unlink(missing_ok=True)
    os.replace(ready, path)
    return aside


def _wal(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")
