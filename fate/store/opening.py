"""Open a database file: create it, migrate it, refuse it in one sentence."""

from __future__ import annotations

import os
import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Engine, QueuePool, event
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlmodel import create_engine

from fate.core.errors import FateError
from fate.store.backup import back_up, backups

REVISIONS = ("0001", "0002", "0003", "0004")  # in migrations/versions
HEAD = REVISIONS[-1]

# Execution option of connections that are about to write: they take the write lock at once, so that
# two processes wait for each other instead of failing halfway.
WRITES = "fate_writes"


class StoreError(FateError):
    """A database that cannot be used."""


class OlderSchemaError(StoreError):
    """A database that has to be brought up to date before it can be read."""


def database_path(location: str | Path) -> Path:
    """The file that a path or an ``sqlite:///`` URL names. Raises StoreError for any other database."""
    if not str(location).strip():
        raise StoreError("The name of the database is empty; name a file with --db.")
    if "://" not in str(location) and str(location) != ":memory:":
        return Path(location).expanduser()
    try:
        url = make_url(str(location))
    except ArgumentError:
        url = None
    if url is None or url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        raise StoreError(f"fate keeps its data in SQLite; {location} is no sqlite:///FILE address.")
    return Path(str(url.database))


def open_engine(path: Path) -> Engine:
    """A SQLAlchemy engine on the newest schema, for a file that is made where there is none. Raises StoreError."""
    with readable_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Never on a file that is there: closing it would drop the locks of every connection that this process has.
        if not path.exists():
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # stories are private
        revision = _revision(path)
        engine = create_engine(URL.create("sqlite", database=str(path)))
        event.listen(engine, "connect", _configure)
        event.listen(engine, "begin", _begin)
        if revision != HEAD:
            _migrate(engine, path, revision)
            engine.dispose()
        event.listen(engine, "connect", _check_foreign_keys)
    return engine


def open_to_read(path: Path) -> Engine:
    """A SQLAlchemy engine that leaves the file as it is. Raises StoreError, also where the schema is not the newest."""
    if not path.is_file():
        raise StoreError(f"There is no database {path}; name another file with --db.")
    with readable_errors(path):
        revision = _revision(path)
        if revision is None:
            raise StoreError(f"{path} is empty; play a story first, or name another file with --db.")
        if revision != HEAD:
            raise OlderSchemaError(
                f"{path} is of an older fate; `fate --db {shlex.quote(str(path))}` brings it up to date once."
            )
        return create_engine("sqlite://", creator=lambda: _connect_to_read(path), poolclass=QueuePool)


def _connect_to_read(path: Path) -> sqlite3.Connection:
    as_us = os.access in os.supports_effective_ids  # ask for the user whose rights count, where that can be asked
    mode = "mode=rw"  # with query_only below: only a connection that may write clears its log away at the end
    if not all(os.access(place, os.W_OK, effective_ids=as_us) for place in (path, path.parent)):
        # Without a log, and where none can be made, SQLite must be told that nobody else writes.
        mode = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "mode=ro&immutable=1"
    connection = sqlite3.connect(f"file:{quote(str(path))}?{mode}", uri=True, check_same_thread=False)
    connection.execute("PRAGMA busy_timeout=5000")
    connection.execute("PRAGMA query_only=ON")
    return connection


def _revision(path: Path) -> str | None:
    """The schema of a file, which is not touched; None if it is empty. Raises StoreError where fate cannot use it."""
    with closing(_connect_to_read(path)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables:
            return None
        if "alembic_version" not in tables:
            raise StoreError(f"{path} is not a fate database; name another file with --db.")
        ((revision,),) = connection.execute("SELECT version_num FROM alembic_version").fetchall() or [(None,)]
        if revision is None:
            return None
        if revision in REVISIONS:
            return str(revision)
        if revision > HEAD:
            raise StoreError(f"{path} was written by a newer fate (schema {revision}); install that one to open it.")
        raise StoreError(f"{path} is not a fate database, or no longer; {_way_back(path)}.")


@contextmanager
def readable_errors(path: Path) -> Iterator[None]:
    """Turn what SQLite and the file system say into one sentence with a way out."""
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        told = error.orig if isinstance(error, DBAPIError) else error
        said = str(told).lower()
        for sign, sentence in (
            ("locked", "is in use by another program that does not let go; close that and try again"),
            ("readonly", "cannot be written; check its permissions, or name another file with --db"),
            ("full", "could not be written, because the disk is full; make room and try again"),
            ("disk i/o", "could not be written or read; see whether the disk has room and is well, and try again"),
            ("not a database", "is not a fate database, or no longer; " + _way_back(path)),
            ("malformed", "is damaged; " + _way_back(path)),
            ("unable to open", "could not be opened; check its permissions, or name another file with --db"),
        ):
            if sign in said:
                raise StoreError(f"{path} {sentence}.") from error
        raise StoreError(f"{path} could not be used: {told}.") from error
    except OSError as error:
        raise StoreError(f"{path} could not be opened: {error.strerror}; name another file with --db.") from error


def _way_back(path: Path) -> str:
    newest = next(iter(backups(path)), None)
    if newest is None:
        return "put a copy in its place, or name another file with --db"
    made = datetime.fromtimestamp(newest.stat().st_mtime).strftime("%Y-%m-%d %H:%M")
    return f"`fate restore --db {shlex.quote(str(path))}` puts the copy of {made} in its place and keeps this one aside"


def _configure(connection: sqlite3.Connection, _: Any) -> None:
    connection.isolation_level = None  # BEGIN is ours, see _begin
    for pragma in ("busy_timeout=5000", "journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")


def _check_foreign_keys(connection: sqlite3.Connection, _: Any) -> None:
    connection.execute("PRAGMA foreign_keys=ON")


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _migrate(engine: Engine, path: Path, revision: str | None) -> None:
    """Bring the file to the newest schema, in one transaction, after a copy of it has been made.

    Foreign keys are not enforced on the way, because SQLite changes a column by making its table anew; they are
    looked over before the transaction ends.
    """
    from alembic import command
    from alembic.config import Config

    if revision is not None:
        back_up(path)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.connect().execution_options(**{WRITES: True}) as connection, connection.begin():
        config.attributes["connection"] = connection
        command.upgrade(config, "head")  # nothing, if another fate was faster
        if connection.exec_driver_sql("PRAGMA foreign_key_check").first():
            raise StoreError(f"{path} holds rows that refer to nothing; `fate check` names them. It was left as it is.")
