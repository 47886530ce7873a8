"""Another fate database, or an exported ``choices`` config, into this one."""

from __future__ import annotations

import csv
import json
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow.parquet as pq

from fate.core.errors import FateError
from fate.dataset.check import problems_of
from fate.store import Store
from fate.store.merging import Merged
from fate.store.opening import OlderSchemaError, readable_errors
from fate.store.records import Record, Row
from fate.store.tensors import pack_inputs, pack_outputs


class DataImportError(FateError):
    """A file or folder whose choices cannot be read."""


def import_from(store: Store, source: Path) -> Merged:
    """Merge what ``source`` holds into ``store``; doing it again adds nothing.

    ``source`` is a database file, of this fate or an older one, or a folder or file of an exported ``choices``
    config. It is only read. Choices that an export redacted have lost their tokens and are left out.

    Raises DataImportError or StoreError; the store is then as it was.
    """
    if not source.exists():
        raise DataImportError(f"There is no {source}; name a fate database or an exported folder.")
    if source.is_dir() or source.suffix in _READERS:
        return _merge(store, _exported(source))
    if source.resolve() == store.file.resolve():
        raise DataImportError(f"{source} is the database itself; name another one.")
    try:
        with closing(Store(source, writes=False)) as other:
            return _merge(store, other.records())
    except OlderSchemaError:
        return _import_older(store, source)


def _import_older(store: Store, source: Path) -> Merged:
    """Bring a copy of an older database to the newest schema, and merge that."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "older.db"
        address = f"file:{quote(str(source))}?mode=ro"
        with (
            readable_errors(source),
            closing(sqlite3.connect(address, uri=True)) as old,
            closing(sqlite3.connect(copy)) as new,
        ):
            old.backup(new)
        with closing(Store(copy)) as other:
            return _merge(store, other.records())


def _merge(store: Store, records: Iterable[Record]) -> Merged:
    """Merge what is as it must be."""
    left_out: list[str] = []

    def sound() -> Iterator[Record]:
        for record in records:
            if record.choice.get("redacted"):
                problems = ["its tokens went when it was redacted"]
            else:
                problems = [problem.rstrip(".") for problem in problems_of(record)]
            if problems:
                left_out.append(f"choice {record.choice['id']} was left out: {'; '.join(problems)}")
            else:
                yield record

    merged = store.merge(sound())
    merged.problems += left_out
    return merged


def _exported(source: Path) -> Iterator[Record]:
    files = [source]
    if source.is_dir():
        folder = source / "choices" if (source / "choices").is_dir() else source
        files = [file for suffix in _READERS for file in sorted(folder.glob(f"*{suffix}"))]
    if not files:
        raise DataImportError(f"{source} holds no `choices`; export them with `fate export --config choices`.")
    for file in files:
        try:
            for row in _READERS[file.suffix](file):
                yield _record(row)
        except OSError as error:
            raise DataImportError(f"{file} cannot be read: {error.strerror}.") from error
        except Exception as error:  # whatever a file that is none does
            raise DataImportError(f"{file} is not the `choices` of a fate export ({error!r}).") from error


def _record(row: Row) -> Record:
    """The inverse of a row of ``choices``."""
    candidates = []
    for exported in row["candidates"]:
        once = {"best_of": 1 if exported["origin"] == "generated" else None}  # which old exports do not tell
        candidate = {**once, **exported, "choice_id": row["id"]}
        arrays = {name: candidate.pop(name) for name in ("output_ids", "uniforms", "logprobs", "warped_logprobs")}
        known = arrays["output_ids"] is not None  # neither of a text by hand nor of a redacted one
        candidate["output_tensors"] = pack_outputs(**arrays) if known else None
        candidates.append(candidate)
    story = {**row["story"], "tip_id": None, "played_at": row["story"]["created_at"], "state": "active"}
    choice = {name: row[name] for name in ("id", "parent_id", "step", "prompt", "cached_tokens", "created_at")}
    choice |= {"story_id": story["id"], "model_id": row["model"]["id"], "redacted": row["redacted"]}
    choice["revealed"] = bool(row.get("revealed"))  # which the first exports did not tell
    choice["input_tensors"] = None if row["redacted"] else pack_inputs(row["input_ids"])
    decisions = [{**decision, "choice_id": row["id"]} for decision in row["decisions"]]
    return Record(choice, story, row["model"], candidates, decisions)


def _from_parquet(file: Path) -> Iterator[Row]:
    with pq.ParquetFile(file) as opened:
        for batch in opened.iter_batches(batch_size=200):
            yield from batch.to_pylist()


def _from_json_lines(file: Path) -> Iterator[Row]:
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def _from_csv(file: Path) -> Iterator[Row]:
    nested = {"story", "input_ids", "attention_mask", "model", "candidates", "decisions"}
    csv.field_size_limit(2**31 - 1)
    with file.open(encoding="utf-8", newline="") as lines:
        for line in csv.DictReader(lines):
            row: dict[str, Any] = {name: json.loads(text) if name in nested else text for name, text in line.items()}
            row |= {name: int(row[name]) for name in ("step", "cached_tokens")}
            row |= {name: row.get(name) == "True" for name in ("revealed", "redacted")}
            row["parent_id"] = row["parent_id"] or None
            yield row


_READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".parquet": _from_parquet,
    ".jsonl": _from_json_lines,
    ".csv": _from_csv,
}
