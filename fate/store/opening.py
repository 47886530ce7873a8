"""Open a database file: create it, migrate it, refuse it in one sentence."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlmodel import create_engine

from fate.core.errors import FateError

HEAD = "0001"  # the newest revision in migrations/versions

# Execution option of connections that are about to write: they take the write lock at once, so that
# two processes wait for each other instead of failing halfway.
WRITES = "fate_writes"


class StoreError(FateError):
    """A database that cannot be used."""


def database_path(location: str | Path) -> Path:
    """The file that a path or an ``sqlite:///`` URL names. Raises StoreError for any other database."""
    if not str(location).strip():
        raise StoreError("The name of the database is empty; name a file with --db.")
    if "://" not in str(location):
        return Path(location).expanduser()
    try:
        url = make_url(str(location))
    except ArgumentError:
        url = None
    if url is None or url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        raise StoreError(f"fate keeps its data in SQLite; {location} is no sqlite:///FILE address.")
    return Path(str(url.database))


def open_engine(path: Path) -> Engine:
    """A SQLAlchemy engine on the newest schema. Raises StoreError."""
    with readable_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # stories are private
        engine = create_engine(URL.create("sqlite", database=str(path)))
        event.listen(engine, "connect", _configure)
        event.listen(engine, "begin", _begin)
        with engine.connect().execution_options(**{WRITES: True}) as connection:
            _migrate(connection, path)
    return engine


@contextmanager
def readable_errors(path: Path) -> Iterator[None]:
    """Turn what SQLite and the file system say into one sentence with a way out."""
    try:
        yield
    except DBAPIError as error:
        said = str(error.orig).lower()
        for sign, sentence in (
            ("locked", "is in use by another program that does not let go; close that and try again"),
            ("readonly", "cannot be written; check its permissions, or name another file with --db"),
            ("full", "could not be written, because the disk is full; make room and try again"),
            ("not a database", "is not a fate database; name another file with --db"),
            ("malformed", "is damaged; put a copy in its place, or name another file with --db"),
        ):
            if sign in said:
                raise StoreError(f"{path} {sentence}.") from error
        raise StoreError(f"{path} could not be used: {error.orig}.") from error
    except OSError as error:
        raise StoreError(f"{path} could not be opened: {error.strerror}; name another file with --db.") from error


def _configure(connection: sqlite3.Connection, _: Any) -> None:
    connection.isolation_level = None  # BEGIN is ours, see _begin
    for pragma in ("busy_timeout=5000", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _migrate(connection: Connection, path: Path) -> None:
    tables = set(connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").scalars())
    if tables and "alembic_version" not in tables:
        raise StoreError(f"{path} is not a fate database; name another file with --db.")
    revision = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() if tables else None
    if revision == HEAD:
        return
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    if revision is not None:
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        if revision not in known:
            raise StoreError(f"{path} was written by a newer fate (schema {revision}); install that one to open it.")
        _back_up(path, revision)
    command.upgrade(config, "head")
    connection.commit()


def _back_up(path: Path, revision: str) -> None:
    """A copy beside the file, before its schema changes."""
    copy = path.with_name(f"{path.name}.{revision}-{datetime.now(UTC):%Y%m%d%H%M%S}.backup")
    os.close(os.open(copy, os.O_RDWR | os.O_CREAT, 0o600))
    with sqlite3.connect(path) as old, sqlite3.connect(copy) as new:
        old.backup(new)
