"""How much memory a model needs, known from its files before anything of it is loaded, and how much is free."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from fate.engine.hub import EngineError, Weights

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "int8": 1}  # of one weight
SMALL = 50_000_000  # up to here, weights in 16 bit would save nothing that anyone notices
_PART = 2**26  # parameters that are packed for a kernel at once, at most
_PACKING = {"float32": 16, "bfloat16": 0, "float16": 16, "int8": 4}  # bytes that this takes for each
ROWS = 3  # whole texts that are kept: three candidates', or one that all share, with the end of each
_FIXED = 300_000_000  # what loading and a first step allocate beside weights, keys and values, whatever the model


@dataclass(frozen=True)
class Size:
    """What decides how much memory a model takes."""

    parameters: int
    largest: int  # parameters of its largest tensor
    per_token: int  # numbers that are kept of each token read: keys and values of all layers


def precisions(size: Size) -> list[str]:
    """Those in which a CPU holds such a model's weights: float16 and int8 would save a small one too little."""
    return [precision for precision in BYTES if size.parameters > SMALL or precision not in ("float16", "int8")]


def size_of(folder: Path, weights: Weights) -> Size:
    """The size of a model's files; no tensor is read. Raises EngineError where they are damaged."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        counts = [count for file in weights.files for count in _tensors(folder / file, config)]
        return Size(sum(counts), max(counts, default=0), per_token(config))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise EngineError(f"The files of the model in {folder} are damaged ({error}); fetch them again.") from error


def _tensors(file: Path, config: Mapping[str, Any]) -> Iterator[int]:
    """How many parameters each tensor of a file has."""
    if file.suffix != ".safetensors":  # a pickle tells nothing without running it
        stored = config.get("dtype") or config.get("torch_dtype") or "float32"
        yield file.stat().st_size // BYTES.get(stored, 4)
        return
    with file.open("rb") as opened:
        (length,) = struct.unpack("<Q", opened.read(8))
        header = json.loads(opened.read(min(length, 100_000_000)))
    for name, tensor in header.items():
        shape = tensor.get("shape", ())
        # Masks that old checkpoints hold, of shape (1, 1, n, n), and an output layer that is the embedding again.
        again = name == "lm_head.weight" and config.get("tie_word_embeddings")
        if name != "__metadata__" and shape[:2] != [1, 1] and not again:
            yield math.prod(shape)


def per_token(config: Mapping[str, Any]) -> int:
    """Numbers that a model of this ``config.json`` keeps of each token: 2 · layers · heads · width of a head."""
    config = config.get("text_config") or config

    def first(*names: str) -> int:
        return next((int(config[name]) for name in names if config.get(name)), 0)

    heads = first("num_attention_heads", "n_head", "num_heads")
    head_dim = first("head_dim") or first("hidden_size", "n_embd") // max(heads, 1)
    return 2 * first("num_hidden_layers", "n_layer", "num_layers") * (first("num_key_value_heads") or heads) * head_dim


def needed(size: Size, precision: str, context: int, rows: int = ROWS, texts: int = 0) -> int:
    """Bytes of memory that a model takes at most, while it is loaded and while it writes.

    Args:
        precision: of the weights, a key of BYTES; keys and values take 4 bytes a number, or 2 with bfloat16.
        context: the most tokens of a row.
        rows: how many are written at once.
        texts: tokens of the texts of which candidates are the best, all together.

    While weights are loaded, kernels take part of the largest tensor at a time and need some copies of it; that room
    is free again when keys and values come. Files that are mapped while they are read are not counted: they give way.

    Measured at a context of 1,024 (peak of anonymous memory above what was there before the model), compiled: with 559
    million parameters 2.54 GB in float32 (this says 3.61), 2.12 GB in float16 (2.49), 1.09 GB in int8 (1.46); with 135
    million 0.78 GB (1.29), 0.51 GB (1.02) and 0.37 GB (0.58). FBGEMM's products take more: 1.23 GB of those 1.29.
    """
    kept = size.per_token * (context * rows + texts) * (2 if precision == "bfloat16" else 4)
    packing = _PACKING[precision] * min(size.largest, _PART)
    return size.parameters * BYTES[precision] + max(kept, packing) + _FIXED


def free() -> int:
    """Bytes of memory that this process can still take: the machine's, or what is left in its container."""
    available: int = psutil.virtual_memory().available
    return min([available, *_left_in_groups(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))])


def _left_in_groups(memberships: Path, root: Path) -> Iterator[int]:
    """What is left in each control group of Linux, version 1 or 2, that limits this process.

    Pages of files that were not used lately give way when memory is asked for, so they count as free.
    """
    try:
        lines = memberships.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, kinds, path = line.split(":", 2)
        if kinds == "":
            base, limit, usage, inactive = root, "memory.max", "memory.current", "inactive_file"
        elif "memory" in kinds.split(","):
            base, limit = root / "memory", "memory.limit_in_bytes"
            usage, inactive = "memory.usage_in_bytes", "total_inactive_file"
        else:
            continue
        # A limit of any group above counts too; in a container the path may begin above what can be seen.
        group = base / path.lstrip("/")
        for folder in (group, *group.parents):
            if not folder.is_relative_to(base):
                break
            try:
                most = (folder / limit).read_text().strip()
                if most != "max":
                    stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
                    yield max(0, int(most) - int((folder / usage).read_text()) + int(stat.get(inactive, 0)))
            except (OSError, ValueError):  # no such group here, or none that may be read
                continue


def gigabytes(size: int) -> str:
    """In units of 1,000,000,000 bytes, as in ``2.3 GB``."""
    return f"{size / 1e9:,.1f} GB"
