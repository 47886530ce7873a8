"""Rows into files: Parquet, JSON Lines or CSV, a few thousand rows in memory at most."""

from __future__ import annotations

import csv
import json
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from fate.store.records import Row

# Rows that are written at once: a choice takes some 20 kB with its tensors, a row for trainers a tenth of that. Not
# fewer, since the footer of a Parquet file grows in memory with every batch.
_CHOICES, _ROWS = 500, 4000


class Writer(Protocol):
    """A file that rows are added to."""

    def write(self, rows: pa.Table) -> None: ...
    def close(self) -> None: ...


class ParquetFile:
    """Compressed columns with their types; numbers come back bit for bit."""

    def __init__(self, file: Path, schema: pa.Schema) -> None:
        texts = [field.name for field in schema if pa.types.is_string(field.type)]
        self._writer = pq.ParquetWriter(file, schema, compression="zstd", compression_level=1, use_dictionary=texts)
        self._thread = ThreadPoolExecutor(1)  # compresses rows while the next are gathered
        self._writing: Future[None] | None = None

    def write(self, rows: pa.Table) -> None:
        self._wait()
        self._writing = self._thread.submit(self._writer.write_table, rows)

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
        self._file = file.open("w", encoding="utf-8")

    def write(self, rows: pa.Table) -> None:
        self._file.writelines(_json(row) + "\n" for row in rows.to_pylist())

    def close(self) -> None:
        self._file.close()


class Csv:
    """A header and one line a row; what is nested stands there as JSON."""

    def __init__(self, file: Path, schema: pa.Schema) -> None:
        self._file = file.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file)
        self._nested = [pa.types.is_nested(field.type) for field in schema]
        self._writer.writerow(schema.names)

    def write(self, rows: pa.Table) -> None:
        for row in rows.to_pylist():
            values = zip(row.values(), self._nested, strict=True)
            self._writer.writerow([_json(value) if nested else value for value, nested in values])

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
        self._choices: list[pa.RecordBatch] = []
        self._waiting: list[Row] = []

    def add_choices(self, rows: pa.RecordBatch) -> None:
        """Rows of the schema as one batch."""
        self._choices.append(rows)
        if sum(batch.num_rows for batch in self._choices) >= _CHOICES:
            self._write(pa.Table.from_batches(self._choices))
            self._choices.clear()

    def add(self, row: Row) -> None:
        """A row with the columns of the schema at least."""
        self._waiting.append(row)
        if len(self._waiting) == _ROWS:
            self._write(pa.Table.from_pylist(self._waiting, self._schema))
            self._waiting.clear()

    def close(self) -> None:
        self._write(pa.Table.from_batches(self._choices, self._schema))
        self._write(pa.Table.from_pylist(self._waiting, self._schema))
        if self._writer is not None:
            self._writer.close()

    def _write(self, rows: pa.Table) -> None:
        if not rows.num_rows:
            return
        if self._writer is None:
            self.file.parent.mkdir(exist_ok=True)
            self._writer = self._format(self.file, self._schema)
        self._writer.write(rows)
        self.rows += rows.num_rows


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
