"""Texts that repeat each other, word for word or nearly, among more texts than memory holds."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fate.dataset.hashes import Hashes, Numbers, digests

# Texts here are sentences: where one word in the middle of twenty is another, 15 of 21 shingles of three words are
# shared; of shingles of five, common for documents, it would be 11 of 21.
ALIKE = 0.7  # the least Jaccard similarity
SHINGLE = 3  # words

_PAIRS = 1 << 14  # pairs of texts that are compared at once
_WORDS = 1 << 17  # spellings whose hashes are remembered

# Twelve bands of three: two texts of similarity s share a band with probability 1 - (1 - s³)¹², which is 0.99 at 0.7,
# 0.9999 at 0.8 and 0.09 at 0.2.
_BANDS, _ROWS = 12, 3
_random = np.random.default_rng(20120408)  # any numbers will do, but the same in every run
_MULTIPLY = _random.integers(0, 2**64, _BANDS * _ROWS, np.uint64) | np.uint64(1)
_ADD = _random.integers(0, 2**64, _BANDS * _ROWS, np.uint64)
_BASE = _random.integers(0, 2**64, 1, np.uint64) | np.uint64(1)
_32 = np.uint64(32)


class Repeated(NamedTuple):
    """How many texts repeat an earlier one."""

    exactly: int  # they have the same words in the same order, in whatever case and punctuation
    nearly: int  # of the others, those of similarity ALIKE at least


class Repeats:
    """Finds texts that repeat an earlier one.

    Texts are compared as sets of shingles, their sequences of SHINGLE words, by Jaccard similarity: how many they
    share, of all that either has (Broder, On the Resemblance and Containment of Documents, 1997). A shorter text is one
    shingle. To compare only what may be alike, each set gets MinHash values with the multiply-shift hashes of
    Dietzfelbinger et al. (A Reliable Randomized Algorithm for the Closest-Pair Problem, 1997), and only texts with a
    band of equal values meet (Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, chapter 3): each with the
    first that had the band, by their exact similarity. The same texts in the same order always give the same counts.

    Words are what white space separates, so of scripts without it only whole sentences are compared.

    Files in ``folder``, which must be there, take some 110 bytes a text and 8 a word; memory grows by a byte a text.
    """

    def __init__(self, folder: Path) -> None:
        self.texts = 0
        self._words = _Words()
        self._exact = Hashes(folder / "texts")
        self._bands = [Hashes(folder / f"band{band}") for band in range(_BANDS)]
        self._ends = Hashes(folder / "ends")
        self._shingles = Hashes(folder / "shingles")
        self._before = 0  # shingles of all texts so far

    def add(self, texts: Sequence[str]) -> None:
        """Take texts in; the more at once, the faster."""
        if not texts:
            return
        self.texts += len(texts)
        # Zeros after a text make a shingle even of an empty one.
        spelled = [self._words.of(text) + bytes(8 * SHINGLE) for text in texts]
        lengths = np.array([len(hashes) // 8 for hashes in spelled])
        starts = np.cumsum(lengths) - lengths
        words = np.frombuffer(b"".join(spelled), "<u8")
        powers = np.cumprod(np.full(lengths.max(), _BASE))
        self._exact.add(_mixed(np.add.reduceat(words * powers[_counted(lengths)], starts)))

        sizes = np.maximum(lengths - 2 * SHINGLE + 1, 1)
        ends = np.cumsum(sizes)
        first = np.repeat(starts, sizes) + _counted(sizes)
        shingles = np.zeros(len(first), np.uint64)
        for number in range(SHINGLE):
            shingles = shingles * _BASE + words[first + number]
        shingles = _mixed(shingles)
        for band, hashes in enumerate(self._bands):
            together = np.zeros(len(texts), np.uint64)
            for row in range(band * _ROWS, (band + 1) * _ROWS):
                values = (shingles * _MULTIPLY[row] + _ADD[row]) >> _32
                together = _mixed(together + np.minimum.reduceat(values, ends - sizes))
            hashes.add(together)
        self._shingles.add(shingles)
        self._ends.add(ends + self._before)
        self._before += len(shingles)

    def count(self) -> Repeated:
        """Of all texts so far; then nothing can be added any more."""
        repeats = np.zeros(self.texts, bool)
        for _, later in _meetings(self._exact):
            repeats[later] = True
        exactly = int(repeats.sum())
        for band in self._bands:
            for first, later in _meetings(band):
                for start in range(0, len(first), _PAIRS):
                    self._compare(first[start : start + _PAIRS], later[start : start + _PAIRS], repeats)
        for hashes in (self._exact, *self._bands, self._shingles, self._ends):
            hashes.close()
        return Repeated(exactly, int(repeats.sum()) - exactly)

    def _compare(self, first: Numbers, later: Numbers, repeats: Numbers) -> None:
        """Mark the later texts that are like the first ones."""
        new = ~repeats[later]
        first, later = first[new], later[new]
        ours, theirs = self._sets(first), self._sets(later)
        shared = _sizes(np.intersect1d(ours, theirs, assume_unique=True), len(first))
        either = _sizes(ours, len(first)) + _sizes(theirs, len(first)) - shared
        repeats[later[shared >= ALIKE * either]] = True

    def _sets(self, texts: Numbers) -> Numbers:
        """The different shingles of each text, with its place among ``texts`` in the upper half."""
        ends, shingles = self._ends.all(), self._shingles.all()
        starts = np.where(texts > 0, ends[texts - 1], np.uint64(0)).astype(np.int64)
        sizes = ends[texts].astype(np.int64) - starts
        found = shingles[np.repeat(starts, sizes) + _counted(sizes)] >> _32
        return np.unique(found | np.repeat(np.arange(len(texts), dtype=np.uint64) << _32, sizes))


class _Words(dict[str, bytes]):
    """Hashes of words by their spelling, of eight bytes; none for what is only punctuation."""

    def of(self, text: str) -> bytes:
        if len(self) > _WORDS:
            self.clear()
        return b"".join(map(self.__getitem__, text.casefold().split()))

    def __missing__(self, spelling: str) -> bytes:
        signs = "".join(letter for letter in spelling if unicodedata.category(letter)[0] in "PS")
        word = spelling.strip(signs)
        self[spelling] = digests([word]).tobytes() if word else b""
        return self[spelling]


def _meetings(hashes: Hashes) -> Iterator[tuple[Numbers, Numbers]]:
    """Numbers of texts that share a hash: (the first that had it, a later one)."""
    for values, numbers in hashes.sorted():
        new = np.concatenate(([True], values[1:] != values[:-1]))
        yield numbers[new][np.cumsum(new) - 1][~new], numbers[~new]


def _mixed(hashes: Numbers) -> Numbers:
    """Hashes of which every bit depends on every bit (the finaliser of SplitMix64: Steele, Lea and Flood, 2014)."""
    hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Numbers = hashes ^ (hashes >> np.uint64(31))
    return mixed


def _counted(sizes: Numbers) -> Numbers:
    """0, 1, 2 … up to each of ``sizes``, one after the other."""
    places: Numbers = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return places


def _sizes(sets: Numbers, count: int) -> Numbers:
    """How many are in each of ``count`` sets as ``Repeats._sets`` gives them."""
    sizes: Numbers = np.bincount((sets >> _32).astype(np.int64), minlength=count)
    return sizes
