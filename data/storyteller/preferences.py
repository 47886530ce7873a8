"""Candidates that were judged, and the loss that makes a model prefer the better ones.

``preferences.jsonl.gz`` has in each line a ``prompt`` and ``candidates`` that were written after it, each a ``text``
with a ``mark`` and the ``round`` in which it was judged, from 0 on. The marks are 0 for nonsense, 1 for a fault, 2 for
a slip, 3 for passable and 4 for good; in round 0 they were 1, 3 and 4 alone.

The model learns to find a candidate likelier than one that is worth less: in comparison with how likely it was to the
model before the run, which is Direct Preference Optimization (Rafailov et al., 2023, arXiv:2305.18290); or by the mean
log-probability of its tokens, by which the game picks the best of several texts, which is SimPO (Meng et al., 2024,
arXiv:2405.14734), here without its margin.
"""

from __future__ import annotations

import gzip
import itertools
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F
from transformers import PreTrainedTokenizerFast

SLOTS = 56  # for candidates in a piece; eight rows of 256 hold some 40 of those that come with fate
CLEAR = 2  # the difference of worth from which on a pair counts in full
PHRASE = 4  # words; shorter sequences come back in any text


@dataclass(frozen=True)
class Judged:
    """A prompt as token ids, from the start token on, and what was written after it."""

    prompt: list[int]
    candidates: list[tuple[list[int], float]]  # tokens and worth of each


@dataclass(frozen=True)
class Piece:
    """Candidates that are compared at once, packed into rows, each after its prompt."""

    rows: np.ndarray  # token ids, (rows, context + 1)
    slot: np.ndarray  # of the candidate whose token is predicted in each place, or ``SLOTS``; (rows, context)
    better: np.ndarray  # [i, j]: how much it counts that i is better than j; 1 in all at most; (SLOTS, SLOTS)


def read_preferences(
    file: Path, tokenizer: PreTrainedTokenizerFast, rounds: int, worn: float = 0.0, since: int = 0
) -> list[Judged]:
    """What was judged in some rounds, as tokens.

    Whoever marks candidates one by one does not see that they say the same after every prompt. A model that learns
    from the marks alone comes to do that. So a candidate is worth its mark less what its most worn phrase costs.

    A candidate that would change the last token of its prompt is left out; few do.

    Args:
        file: prompts and candidates, a line of JSON each, compressed.
        tokenizer: of the model that is to learn.
        rounds: what was judged in rounds before this one is read.
        worn: what a phrase costs, in marks, times the share of a round's prompts after which it was written;
            ``CLEAR`` at most.
        since: and in this one or later.
    """
    entries = [json.loads(line) for line in gzip.decompress(file.read_bytes()).decode().split("\n") if line]
    for entry in entries:
        entry["candidates"] = [candidate for candidate in entry["candidates"] if since <= candidate["round"] < rounds]
    texts = [entry["prompt"] + text for entry in entries for text in ("", *(c["text"] for c in entry["candidates"]))]
    encoded, frequent = iter(tokenizer(texts)["input_ids"]), _frequent(entries)
    judged = []
    for entry in entries:
        prompt, candidates = next(encoded), []
        for candidate in entry["candidates"]:
            ids, text = next(encoded), candidate["text"]
            cost = min(worn * max((frequent[p] for p in _phrases(text, entry["prompt"])), default=0.0), CLEAR)
            if ids[: len(prompt)] == prompt:
                candidates.append((ids[len(prompt) :], candidate["mark"] - cost))
        judged.append(Judged(prompt, candidates))
    return judged


def _frequent(entries: Sequence[dict[str, Any]]) -> dict[tuple[str, ...], float]:
    """The share of a round's prompts after which each phrase was written, in the round where that is largest."""
    prompts: Counter[int] = Counter()
    written: defaultdict[int, Counter[tuple[str, ...]]] = defaultdict(Counter)
    for entry in entries:
        phrases = defaultdict(set)
        for candidate in entry["candidates"]:
            phrases[candidate["round"]] |= _phrases(candidate["text"], entry["prompt"])
        prompts.update(phrases.keys())
        for number, those in phrases.items():
            written[number].update(those)
    shares: defaultdict[tuple[str, ...], float] = defaultdict(float)
    for number, counts in written.items():
        for phrase, count in counts.items():
            shares[phrase] = max(shares[phrase], count / prompts[number])
    return shares


def _phrases(text: str, prompt: str) -> set[tuple[str, ...]]:
    """The sequences of ``PHRASE`` words of a candidate that are not its prompt's own."""
    own, prompts = (
        {tuple(words[start : start + PHRASE]) for start in range(len(words) - PHRASE + 1)}
        for words in (re.findall(r"[\w']+", one.lower()) for one in (text, prompt))
    )
    return own - prompts


def pieces(judged: Sequence[Judged], height: int, context: int, seed: int) -> Iterator[Piece]:
    """What was judged, packed, without end: one pass after the other, each in another order.

    As many candidates as there are rows are compared with each other at most, so that any of them fit. Those that do
    not fit a row with their prompt are left out, and those that were drawn together and are worth the same. The last
    piece of a pass may hold few.

    Args:
        judged: prompts and candidates.
        height: rows of a piece, at least two.
        context: tokens that a row predicts.
        seed: of the order.

    Raises:
        SystemExit: nothing is left to compare.
    """
    for number in itertools.count():
        rng = np.random.default_rng((seed, number))
        groups = _compared(judged, min(height, SLOTS), context, rng)
        if not groups:
            raise SystemExit("No two candidates after one prompt that fit a row differ in what they are worth.")
        piece = _Packing(height, context)
        for group in groups:
            if not piece.takes(group):
                yield piece.packed()
                piece = _Packing(height, context)
                piece.takes(group)
        yield piece.packed()


def _compared(judged: Sequence[Judged], together: int, context: int, rng: np.random.Generator) -> list[Judged]:
    """Up to ``together`` candidates after the same prompt, drawn at random, some of them better than others."""
    groups = []
    for one in judged:
        short = [c for c in one.candidates if len(one.prompt) + len(c[0]) <= context + 1]
        parts, order = -(-len(short) // together), rng.permutation(len(short))
        groups += [Judged(one.prompt, [short[i] for i in order[part::parts]]) for part in range(parts)]
    groups = [group for group in groups if len({worth for _, worth in group.candidates}) > 1]
    return [groups[i] for i in rng.permutation(len(groups))]


class _Packing:
    """A piece on its way."""

    def __init__(self, height: int, context: int) -> None:
        self.context = context
        self.rows: list[list[int]] = [[] for _ in range(height)]
        self.slot = np.full((height, context), SLOTS)
        self.better = np.zeros((SLOTS, SLOTS), np.float32)
        self.taken = 0

    def takes(self, group: Judged) -> bool:
        """Put a group in, if there is room for all of it: each candidate into the fullest row that has room."""
        lengths, places = [len(row) for row in self.rows], []
        for ids, _ in group.candidates:
            length = len(group.prompt) + len(ids)
            room = [row for row, used in enumerate(lengths) if used + length <= self.context + 1]
            if not room:
                return False
            places.append(max(room, key=lengths.__getitem__))
            lengths[places[-1]] += length
        size = len(places)
        if self.taken + size > SLOTS:
            return False
        for number, (place, (ids, _)) in enumerate(zip(places, group.candidates, strict=True), self.taken):
            self.rows[place] += group.prompt
            self.slot[place, len(self.rows[place]) - 1 :][: len(ids)] = number
            self.rows[place] += ids
        worth = [each for _, each in group.candidates]
        ahead = np.clip(np.subtract.outer(worth, worth), 0, CLEAR) / CLEAR
        # A candidate has more pairs in a larger group, and yet counts as much.
        self.better[self.taken :, self.taken :][:size, :size] = ahead / ((size - 1) / 2)
        self.taken += size
        return True

    def packed(self) -> Piece:
        """What was put in so far."""
        # What fills a row up is read, but never predicted: any token would do.
        rows = np.array([row + [0] * (self.context + 1 - len(row)) for row in self.rows])
        return Piece(rows, self.slot, self.better / self.taken)


def log_probabilities(logits: torch.Tensor, rows: torch.Tensor, slot: torch.Tensor) -> torch.Tensor:
    """Of each candidate of a piece, summed over its tokens, in nats; shape (SLOTS,).

    Args:
        logits: for the tokens after each but the last of the rows, (rows, context, vocabulary).
        rows: ``Piece.rows``.
        slot: ``Piece.slot``.
    """
    each = -F.cross_entropy(logits.flatten(0, 1).float(), rows[:, 1:].flatten(), reduction="none")
    return each.new_zeros(SLOTS + 1).index_add(0, slot.flatten(), each)[:-1]


def lengths(slot: torch.Tensor) -> torch.Tensor:
    """How many tokens each candidate of a piece has, at least 1; shape (SLOTS,)."""
    each = torch.ones_like(slot.flatten())
    return each.new_zeros(SLOTS + 1).index_add(0, slot.flatten(), each)[:-1].clamp(min=1)


def preference_loss(liked: torch.Tensor, better: torch.Tensor) -> torch.Tensor:
    """How badly liking predicts what is better, over all pairs of a piece (Bradley and Terry, 1952): a scalar.

    It is ln 2 times the pairs' weights where all are liked as much.

    Args:
        liked: how much the model likes each candidate, (SLOTS,).
        better: ``Piece.better``.
    """
    return (better * F.softplus(liked[None, :] - liked[:, None])).sum()
