"""Another fate database, or an exported ``choices`` config, into this one."""

from __future__ import annotations

import csv
import json
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fate.core.errors import FateError
from fate.store import Store
from fate.store.merging import Merged
from fate.store.opening import OlderSchemaError
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
        redacted: list[str] = []
        merged = store.merge(_exported(source, redacted))
        merged.problems += redacted
        return merged
    if source.resolve() == store.file.resolve():
        raise DataImportError(f"{source} is the database itself; name another one.")
    try:
        other = Store(source, writes=False)
    except OlderSchemaError:
        return _import_older(store, source)
    with closing(other):
        return store.merge(other.records())


def _import_older(store: Store, source: Path) -> Merged:
    """Bring a copy of an older database to the newest schema, and merge that."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / source.name
        with closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as old, closing(sqlite3.connect(copy)) as new:
            old.backup(new)
        with closing(Store(copy)) as other:
            return store.merge(other.records())


def _exported(source: Path, redacted: list[str]) -> Iterator[Record]:
    files = [source]
    if source.is_dir():
        folder = source / "choices" if (source / "choices").is_dir() else source
        files = [file for suffix in _READERS for file in sorted(folder.glob(f"*{suffix}"))]
    if not files:
        raise DataImportError(f"{source} holds no `choices`; export them with `fate export --config choices`.")
    for file in files:
        try:
            for row in _READERS[file.suffix](file):
                if row["redacted"]:
                    redacted.append(f"choice {row['id']} was left out: its tokens went when it was redacted")
                else:
                    yield _record(row)
        except (KeyError, TypeError, ValueError, pa.ArrowException) as error:
            raise DataImportError(f"{file} is not the `choices` of a fate export ({error!r}).") from error


def _record(row: Row) -> Record:
    """The inverse of ``choice_rows``."""
    candidates = []
    for exported in row["candidates"]:
        candidate = {**exported, "choice_id": row["id"]}
        arrays = {name: candidate.pop(name) for name in ("output_ids", "uniforms", "logprobs", "warped_logprobs")}
        candidate["output_tensors"] = pack_outputs(**arrays) if exported["origin"] == "generated" else None
        candidates.append(candidate)
    story = {**row["story"], "tip_id": None, "played_at": row["story"]["created_at"]}
    choice = {name: row[name] for name in ("id", "parent_id", "step", "prompt", "cached_tokens", "created_at")}
    choice |= {"story_id": story["id"], "model_id": row["model"]["id"], "input_tensors": pack_inputs(row["input_ids"])}
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
            row |= {"parent_id": row["parent_id"] or None, "redacted": row["redacted"] == "True"}
            yield row


_READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".parquet": _from_parquet,
    ".jsonl": _from_json_lines,
    ".csv": _from_csv,
}
