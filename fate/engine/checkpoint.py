"""The tensors of a checkpoint, read from its files one at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open


def tensors(files: Sequence[Path]) -> Callable[[str], torch.Tensor | None]:
    """A checkpoint's tensor by its name, or None where it has no such tensor.

    Args:
        files: safetensors files, or PyTorch's own (``.bin``), of which only weights are read.

    A name may lack its first part in the files: checkpoints of a decoder without its head do.
    """
    found: dict[str, Callable[[], torch.Tensor]] = {}
    for file in files:
        if file.suffix == ".safetensors":
            opened: Any = safe_open(file, "pt")
            found |= {name: partial(opened.get_tensor, name) for name in opened.keys()}  # noqa: SIM118
        else:
            state = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
            found |= {name: partial(state.__getitem__, name) for name in state}

    def tensor(name: str) -> torch.Tensor | None:
        read = found.get(name) or found.get(name.partition(".")[2])
        return read() if read else None

    return tensor
