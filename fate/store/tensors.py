"""Number lists as safetensors bytes, without torch: anyone can read them back with ``safetensors``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

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


def numbers(blobs: Iterable[bytes | None], names: Iterable[str]) -> dict[str, list[bytes]]:
    """The bytes of the arrays of these names in small safetensors blobs, 8 for a number; b"" where there are none.

    Fast where there are very many blobs.
    """
    found: dict[str, list[bytes]] = {name: [] for name in names}
    for blob in blobs:
        data = blob or b""
        start = 8 + int.from_bytes(data[:8], "little")
        places = _places(data[8:start])
        for name, arrays in found.items():
            begin, end = places.get(name, (0, 0))
            arrays.append(data[start + begin : start + end])
    return found


@lru_cache(maxsize=4096)  # blobs of as many tokens have the same header
def _places(header: bytes) -> dict[str, tuple[int, int]]:
    entries = json.loads(header or b"{}").items()
    return {name: tuple(entry["data_offsets"]) for name, entry in entries if name != "__metadata__"}
