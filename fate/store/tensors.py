"""Number lists as safetensors bytes, without torch: anyone can read them back with ``safetensors``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
from safetensors.numpy import load, save


def pack_inputs(input_ids: Sequence[int]) -> bytes:
    """``input_ids`` and an ``attention_mask`` of ones, int64, shape (1, n)."""
    ids = np.array([input_ids], dtype=np.int64)
    return bytes(save({"input_ids": ids, "attention_mask": np.ones_like(ids)}))


def unpack_inputs(data: bytes) -> tuple[int, ...]:
    return tuple(load(data)["input_ids"][0].tolist())


def pack_outputs(output_ids: Sequence[int], **floats: Sequence[float]) -> bytes:
    """``output_ids`` as int64 and each of ``floats`` as float64, shape (n,)."""
    arrays = {name: np.array(values, dtype=np.float64) for name, values in floats.items()}
    return bytes(save({"output_ids": np.array(output_ids, dtype=np.int64), **arrays}))


def unpack_outputs(data: bytes) -> Mapping[str, tuple[float, ...]]:
    return {name: tuple(array.tolist()) for name, array in load(data).items()}


def views(data: bytes) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of a small safetensors blob, (n,) each, without a copy; fast where there are very many blobs."""
    start = 8 + int.from_bytes(data[:8], "little")
    return {
        name: np.frombuffer(data, dtype, count, start + offset) for name, dtype, count, offset in _layout(data[8:start])
    }


@lru_cache(maxsize=4096)  # blobs of as many tokens have the same header
def _layout(header: bytes) -> list[tuple[str, np.dtype[Any], int, int]]:
    entries = {name: entry for name, entry in json.loads(header).items() if name != "__metadata__"}
    return [
        (name, _DTYPES[entry["dtype"]], prod(entry["shape"]), entry["data_offsets"][0])
        for name, entry in entries.items()
    ]


_DTYPES = {"I64": np.dtype("<i8"), "F64": np.dtype("<f8")}
