"""Croissant 1.1 metadata (MLCommons, http://mlcommons.org/croissant/1.1): files with hashes, columns with types."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa

from fate.dataset.rows import SCHEMAS
from fate.dataset.writing import Split

_FORMATS = {
    ".parquet": "application/x-parquet",
    ".jsonl": "application/jsonlines",
    ".csv": "text/csv",
}
_TERMS = """
    arrayShape citeAs column containedIn equivalentProperty extract field fileObject fileProperty fileSet format
    includes isArray isLiveDataset jsonPath key md5 parentField path recordSet references regex repeated replace
    samplingRate separator source subField transform
""".split()  # noqa: SIM905 - a list of thirty lines says no more
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    **{name: f"cr:{name}" for name in _TERMS},
}


def croissant(splits: list[Split], title: str, description: str, licence: str, date: str) -> dict[str, Any]:
    """The JSON-LD for a folder that holds the files of ``splits``; every file is read once for its sha256."""
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": title,
        "description": description,
        "license": licence,
        "citeAs": f"@misc{{fate-stories, title={{{title}}}, year={{{date[:4]}}}, note={{exported by fate}}}}",
        "datePublished": date,
        "version": "1.0.0",
        "distribution": [_file(split) for split in splits],
        "recordSet": [_records(split) for split in splits],
    }


def _file(split: Split) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": _id(split),
        "name": _id(split),
        "contentUrl": f"{split.config}/{split.file.name}",
        "contentSize": f"{split.file.stat().st_size} B",
        "encodingFormat": _FORMATS[split.file.suffix],
        "sha256": _sha256(split.file),
    }


def _records(split: Split) -> dict[str, Any]:
    flat = split.file.suffix == ".csv"
    return {
        "@type": "cr:RecordSet",
        "@id": f"{_id(split)}-rows",
        "name": f"{_id(split)}-rows",
        "field": [_field(split, field, f"{_id(split)}-rows", flat) for field in SCHEMAS[split.config]],
    }


def _field(split: Split, field: pa.Field, parent: str, flat: bool) -> dict[str, Any]:
    kind, repeated = field.type, False
    if not flat and pa.types.is_list(kind):
        kind, repeated = kind.value_type, True
    described: dict[str, Any] = {"@type": "cr:Field", "@id": f"{parent}/{field.name}", "name": field.name}
    if repeated:
        described |= {"isArray": True, "arrayShape": "-1"}
    source = {"fileObject": {"@id": _id(split)}, "extract": {"column": field.name}}
    if pa.types.is_struct(kind) and not flat:
        described["subField"] = [
            {
                **_field(split, inner, described["@id"], flat),
                "source": {**source, "transform": {"jsonPath": inner.name}},
            }
            for inner in kind
        ]
    else:
        described["dataType"] = _type(field, kind)
    described["source"] = source
    return described


def _type(field: pa.Field, kind: pa.DataType) -> str:
    if field.name.endswith("_at"):
        return "sc:DateTime"
    if pa.types.is_boolean(kind):
        return "sc:Boolean"
    if pa.types.is_integer(kind):
        return "cr:Int64"
    return "cr:Float64" if pa.types.is_floating(kind) else "sc:Text"


def _id(split: Split) -> str:
    return f"{split.config}-{split.name}"


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
