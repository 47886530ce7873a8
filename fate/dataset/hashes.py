"""More hashes than memory holds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

Numbers = np.ndarray[Any, np.dtype[Any]]

_IN_MEMORY = 1 << 18  # hashes that are sorted at once


def digests(texts: Iterable[str]) -> Numbers:
    """A 64-bit hash of each text, the same everywhere."""
    return np.frombuffer(
        b"".join(hashlib.blake2b(text.encode(errors="replace"), digest_size=8).digest() for text in texts), "<u8"
    )


class Hashes:
    """64-bit hashes in a file, in the order in which they came; memory does not grow with them."""

    def __init__(self, file: Path) -> None:
        self._file = file.open("w+b")

    def add(self, hashes: Numbers) -> None:
        self._file.write(hashes.astype("<u8").data)

    def sorted(self) -> Iterator[tuple[Numbers, Numbers]]:
        """(hashes, their numbers in the order of coming), a part after the other: equal hashes are in one part.

        Hashes are sorted, equal ones by their numbers.
        """
        parts = 1 + self._file.seek(0, 2) // 8 // _IN_MEMORY
        for part in range(parts):
            found: list[tuple[Numbers, Numbers]] = []
            before = 0
            self._file.seek(0)
            while data := self._file.read(8 * _IN_MEMORY):
                hashes = np.frombuffer(data, "<u8")
                (here,) = np.nonzero(hashes % np.uint64(parts) == part)
                found.append((hashes[here], here + before))
                before += len(hashes)
            hashes, numbers = map(np.concatenate, zip(*found, strict=True)) if found else (np.empty(0), np.empty(0))
            if len(hashes):
                order = np.argsort(hashes, kind="stable")
                yield hashes[order], numbers[order]

    def all(self) -> Numbers:
        """All of them as an array that reads from the file what is asked for; there must be one at least."""
        self._file.flush()
        return np.memmap(self._file, "<u8", "r")

    def different(self) -> int:
        """How many there are, each counted once."""
        return sum(1 + int(np.count_nonzero(np.diff(hashes))) for hashes, _ in self.sorted())

    def close(self) -> None:
        self._file.close()
