"""Number lists as safetensors bytes, without torch: anyone can read them back with ``safetensors``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
