"""Rows into files: Parquet, JSON Lines or CSV, a few thousand rows in memory at most."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fate.store.records import Row

_BATCH = 4000  # rows: the footer of a Parquet file, which stays in memory, grows with the number of batches


class Writer(Protocol):
    """A file that rows are added to."""

    def write(self, rows: list[Row]) -> None: ...
    def close(self) -> None: ...


class ParquetFile:
    """Compressed columns with their types; numbers come back bit for bit."""

    def __init__(self, file: Path, schema: pa.Schema) -> None:
        texts = [field.name for field in schema if pa.types.is_string(field.type)]
        self._schema = schema
        self._writer = pq.ParquetWriter(file, schema, compression="zstd", compression_level=1, use_dictionary=texts)
        self._thread = ThreadPoolExecutor(1)  # compresses one batch while the next is gathered
        self._writing: Future[None] | None = None

    def write(self, rows: list[Row]) -> None:
        batch = pa.RecordBatch.from_pylist(rows, self._schema)
        self._wait()
        self._writing = self._thread.submit(self._writer.write_batch, batch)

    def close(self) -> None:
        self._wait()
        self._thread.shutdown()
        self._writer.close()

    def _wait(self) -> None:
        if self._writing is not None:
            self._writing.result()


class JsonLines:
    """One JSON object a line."""

    def __init__(self, file: Path, schema: pa.Schema) -> None:
        self._columns = _columns(schema)
        self._file = file.open("w", encoding="utf-8")

    def write(self, rows: list[Row]) -> None:
        for row in rows:
            self._file.write(_json(_fitted(row, self._columns)) + "\n")

    def close(self) -> None:
        self._file.close()


class Csv:
    """A header and one line a row; what is nested stands there as JSON."""

    def __init__(self, file: Path, schema: pa.Schema) -> None:
        self._file = file.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file)
        self._columns = _columns(schema)
        self._nested = [pa.types.is_nested(field.type) for field in schema]
        self._writer.writerow(schema.names)

    def write(self, rows: list[Row]) -> None:
        for row in rows:
            values = _fitted(row, self._columns).values()
            self._writer.writerow(
                [_json(value) if nested else value for value, nested in zip(values, self._nested, strict=True)]
            )

    def close(self) -> None:
        self._file.close()


FORMATS: dict[str, type[ParquetFile] | type[JsonLines] | type[Csv]] = {
    "parquet": ParquetFile,
    "jsonl": JsonLines,
    "csv": Csv,
}


class Split:
    """The file of one split of a config. It comes into being with its first row; ``rows`` counts them."""

    def __init__(self, folder: Path, config: str, name: str, file_format: str, schema: pa.Schema) -> None:
        self.config, self.name, self.rows = config, name, 0
        self.file = folder / config / f"{name}.{file_format}"
        self._format, self._schema = FORMATS[file_format], schema
        self._writer: Writer | None = None
        self._waiting: list[Row] = []

    def add(self, row: Row) -> None:
        self._waiting.append(row)
        self.rows += 1
        if len(self._waiting) == _BATCH:
            self._flush()

    def close(self) -> None:
        if self._waiting:
            self._flush()
        if self._writer is not None:
            self._writer.close()

    def _flush(self) -> None:
        if self._writer is None:
            self.file.parent.mkdir(exist_ok=True)
            self._writer = self._format(self.file, self._schema)
        self._writer.write(self._waiting)
        self._waiting.clear()


# The columns of a schema by name, with those of what is nested in each; None for a plain value.
Columns = dict[str, Any]


def _columns(fields: Iterable[pa.Field]) -> Columns:
    inner = {field.name: field.type.value_type if pa.types.is_list(field.type) else field.type for field in fields}
    return {name: _columns(list(kind)) if pa.types.is_struct(kind) else None for name, kind in inner.items()}


def _fitted(value: Any, columns: Columns | None) -> Any:
    """A row, or what is nested in it, with its columns alone."""
    if columns is None or value is None:
        return value
    if isinstance(value, list):
        return [_fitted(inner, columns) for inner in value]
    return {name: _fitted(value.get(name), inner) for name, inner in columns.items()}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, default=np.ndarray.tolist)
