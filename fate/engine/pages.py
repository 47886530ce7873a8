"""Memory in huge pages: a pass over weights reads them from end to end, and looks up each page on its way."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from pathlib import Path

_HUGE = 1 << 21  # bytes of a huge page
_COLLAPSE = 25  # MADV_COLLAPSE of Linux 6.1 and newer: gather what is there into huge pages now


def use_huge_pages() -> None:
    """Gather this process's large anonymous memory into huge pages, where Linux lets it be asked for.

    PyTorch allocates packed weights as C programs do, in pages of 4 KiB on systems that give huge pages only on
    request. Where that cannot be done nothing changes but the speed. See madvise(2).
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError, ValueError):
        advise = ctypes.CDLL(None).madvise
        for begin, end in _large_mappings():
            advise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), _COLLAPSE)


def _large_mappings() -> list[tuple[int, int]]:
    """Whole huge pages within writable memory that is no file's, as addresses."""
    found = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        where, permissions, *rest = line.split()
        if permissions.startswith("rw") and rest[3:] in ([], ["[heap]"]):
            begin, end = (int(address, 16) for address in where.split("-"))
            begin, end = -(-begin // _HUGE) * _HUGE, end // _HUGE * _HUGE
            if begin < end:
                found.append((begin, end))
    return found
