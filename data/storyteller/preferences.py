"""Candidates that were judged, and the loss that makes a model prefer the better ones.

``preferences.jsonl.gz`` has in each line a ``prompt`` and ``candidates`` that were written after it, each a ``text``
with a ``mark`` and the ``round`` in which it was judged, from 0 on. The marks are 0 for nonsense, 1 for a fault, 2 for
a slip, 3 for passable and 4 for good; in round 0 they were 1, 3 and 4 alone, or a mean of two. From round 9 on, what
has no fault but would fit after almost any story has 2.5, what takes up this one or moves it on 4, and what is good 5.
From round 14 on, many were judged twice and have the mean.

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

PREFERENCES = Path(__file__).with_name("preferences.jsonl.gz")
SLOTS = 192  # for candidates in a piece; 2,048 tokens hold at most some 110 of those that come with fate
CLEAR = 2  # the difference of worth from which on a pair counts in full
PHRASE = 4  # words; but the last runs count three
UNTAUGHT = 2  # candidates of the rounds before this one are of models that had learnt from no marks


@dataclass(frozen=True)
class Judged:
    """A prompt as token ids, from the start token on, and what was written after it."""

    prompt: list[int]
    candidates: list[tuple[list[int], float]]  # tokens and worth of each


@dataclass(frozen=True)
class Piece:
    """Candidates that are compared at once, packed into rows: a prompt, and side by side what was written after it.

    The last token of a prompt is read anew before each of its candidates, so that each place predicts one token.
    """

    read: np.ndarray  # token ids, (rows, context)
    predicted: np.ndarray  # the token that follows in the text, where that is a candidate's; (rows, context)
    place: np.ndarray  # of each token in its text, from 0 on; (rows, context)
    group: np.ndarray  # the number of the prompt in its row, or -1 where there is nothing; (rows, context)
    slot: np.ndarray  # of the candidate whose token is predicted, or ``SLOTS``; (rows, context)
    better: np.ndarray  # [i, j]: how much it counts that i is better than j; 1 in all at most; (SLOTS, SLOTS)


def read_entries(file: Path) -> list[dict[str, Any]]:
    """The lines of a file of preferences."""
    return [json.loads(line) for line in gzip.decompress(file.read_bytes()).decode().split("\n") if line]


def read_preferences(
    file: Path,
    tokenizer: PreTrainedTokenizerFast,
    rounds: int,
    worn: float = 0.0,
    since: int = 0,
    phrase: int = PHRASE,
) -> list[Judged]:
    """What was judged in some rounds, as tokens.

    Whoever marks candidates one by one does not see that they say the same after every prompt. A model that learns
    from the marks alone comes to do that. So a candidate is worth its mark less what its most worn phrase costs.

    A candidate that would change the last token of its prompt is left out, as few do, and one of no token.

    Args:
        file: prompts and candidates, a line of JSON each, compressed.
        tokenizer: of the model that is to learn.
        rounds: what was judged in rounds before this one is read.
        worn: what a phrase costs, in marks, times the share of a round's prompts after which it was written, less the
            share after which it was by models that had learnt from no marks; ``CLEAR`` at most.
        since: and in this one or later.
        phrase: words of a phrase.
    """
    entries = read_entries(file)
    shares = frequent(entries, range(since, rounds), phrase) if worn else {}
    for entry in entries:
        entry["candidates"] = [candidate for candidate in entry["candidates"] if since <= candidate["round"] < rounds]
    texts = [entry["prompt"] + text for entry in entries for text in ("", *(c["text"] for c in entry["candidates"]))]
    encoded = iter(tokenizer(texts)["input_ids"])
    judged = []
    for entry in entries:
        prompt, candidates = next(encoded), []
        for candidate in entry["candidates"]:
            ids, text = next(encoded), candidate["text"]
            those = phrases(text, entry["prompt"], phrase) if worn else ()
            cost = min(worn * max((shares[p] for p in those), default=0.0), CLEAR)
            if ids[: len(prompt)] == prompt and len(ids) > len(prompt):
                candidates.append((ids[len(prompt) :], candidate["mark"] - cost))
        judged.append(Judged(prompt, candidates))
    return judged


def frequent(entries: Sequence[dict[str, Any]], rounds: range, phrase: int) -> dict[tuple[str, ...], float]:
    """The share of a round's prompts after which each phrase was written, in that of the rounds where it is largest.

    It is less the share in the rounds before ``UNTAUGHT``, and at least 0: "at the door" comes back in any stories.
    """
    counted = {*range(UNTAUGHT), *rounds}
    prompts: Counter[int] = Counter()
    written: defaultdict[int, Counter[tuple[str, ...]]] = defaultdict(Counter)
    for entry in entries:
        own = defaultdict(set)
        for candidate in entry["candidates"]:
            if candidate["round"] in counted:
                own[candidate["round"]] |= phrases(candidate["text"], entry["prompt"], phrase)
        prompts.update(own.keys())
        for number, those in own.items():
            written[number].update(those)
    usual: Counter[tuple[str, ...]] = Counter()
    for number in range(UNTAUGHT):
        usual.update(written.pop(number, {}))
    untaught = max(1, sum(prompts[number] for number in range(UNTAUGHT)))
    shares: defaultdict[tuple[str, ...], float] = defaultdict(float)
    for number in written.keys() & rounds:
        for each, count in written[number].items():
            shares[each] = max(shares[each], count / prompts[number] - usual[each] / untaught)
    return shares


def phrases(text: str, prompt: str, size: int) -> set[tuple[str, ...]]:
    """The sequences of ``size`` words of a candidate that are not its prompt's own."""
    own, prompts = (
        {tuple(words[start : start + size]) for start in range(len(words) - size + 1)}
        for words in (re.findall(r"[\w']+", one.lower()) for one in (text, prompt))
    )
    return own - prompts


def pieces(judged: Sequence[Judged], height: int, context: int, seed: int) -> Iterator[Piece]:
    """What was judged, packed, without end: one pass after the other, each in another order.

    All candidates of a prompt that fit a row with it are compared with each other; where one row or ``SLOTS`` is too
    little for them, in as few parts of one size as it takes, drawn at random. Those that do not fit a row with their
    prompt are left out, and those that were drawn alone, or together and are worth the same. The last piece of a pass
    may hold few.

    Args:
        judged: prompts and candidates.
        height: rows of a piece.
        context: tokens that a row reads.
        seed: of the order.

    Raises:
        SystemExit: nothing is left to compare.
    """
    for number in itertools.count():
        rng = np.random.default_rng((seed, number))
        groups = _compared(judged, context, rng)
        if not groups:
            raise SystemExit("No two candidates after one prompt that fit a row differ in what they are worth.")
        piece = _Packing(height, context)
        for group in groups:
            if not piece.takes(group):
                yield piece.packed()
                piece = _Packing(height, context)
                piece.takes(group)
        yield piece.packed()


def _room(prompt: list[int], candidates: Sequence[tuple[list[int], float]]) -> int:
    """The tokens that are read to predict some candidates after one prompt."""
    return len(prompt) - 1 + sum(len(ids) for ids, _ in candidates)


def _compared(judged: Sequence[Judged], context: int, rng: np.random.Generator) -> list[Judged]:
    """Candidates after the same prompt that fit a row together, some of them better than others."""
    groups = []
    for one in judged:
        short = [c for c in one.candidates if _room(one.prompt, [c]) <= context]
        order = rng.permutation(len(short))
        for parts in range(1, len(short) + 1):
            dealt = [[short[i] for i in order[part::parts]] for part in range(parts)]
            if all(_room(one.prompt, each) <= context and len(each) <= SLOTS for each in dealt):
                groups += [Judged(one.prompt, each) for each in dealt]
                break
    groups = [group for group in groups if len({worth for _, worth in group.candidates}) > 1]
    return [groups[i] for i in rng.permutation(len(groups))]


class _Packing:
    """A piece on its way."""

    def __init__(self, height: int, context: int) -> None:
        # What fills a row up is read, but predicted in no slot: any token would do.
        self.read, self.predicted, self.place = (np.zeros((height, context), np.int64) for _ in range(3))
        self.group, self.slot = np.full((height, context), -1), np.full((height, context), SLOTS)
        self.better = np.zeros((SLOTS, SLOTS), np.float32)
        self.used, self.taken = [0] * height, 0

    def takes(self, group: Judged) -> bool:
        """Put a group in, if there is room: into the fullest row that has it."""
        prompt, size, context = group.prompt, len(group.candidates), self.read.shape[1]
        room = [row for row, used in enumerate(self.used) if used + _room(prompt, group.candidates) <= context]
        if not room or self.taken + size > SLOTS:
            return False
        row = max(room, key=self.used.__getitem__)
        number, head = self.group[row].max() + 1, len(prompt) - 1
        self._put(row, number, prompt[:-1], prompt[1:], 0, SLOTS)
        for slot, (ids, _) in enumerate(group.candidates, self.taken):
            self._put(row, number, [prompt[-1], *ids[:-1]], ids, head, slot)
        worth = [each for _, each in group.candidates]
        ahead = np.clip(np.subtract.outer(worth, worth), 0, CLEAR) / CLEAR
        # A candidate has more pairs in a larger group, and yet counts as much.
        self.better[self.taken :, self.taken :][:size, :size] = ahead / ((size - 1) / 2)
        self.taken += size
        return True

    def _put(self, row: int, group: int, read: list[int], predicted: list[int], place: int, slot: int) -> None:
        """The next tokens of a row."""
        here = (row, slice(self.used[row], self.used[row] + len(read)))
        self.read[here], self.predicted[here] = read, predicted
        self.place[here] = np.arange(place, place + len(read))
        self.group[here], self.slot[here] = group, slot
        self.used[row] += len(read)

    def packed(self) -> Piece:
        """What was put in so far."""
        return Piece(self.read, self.predicted, self.place, self.group, self.slot, self.better / self.taken)


def piece_mask(group: torch.Tensor, slot: torch.Tensor) -> torch.Tensor:
    """What is added to the attention of a piece's tokens, so that each candidate sees its prompt and itself alone.

    Args:
        group: ``Piece.group``.
        slot: ``Piece.slot``.

    Returns:
        (rows, 1, context, context): 0 where a token looks at itself or at an earlier one of its text, minus infinity
        elsewhere.
    """
    prompt = (slot == SLOTS)[:, None, :]
    same_slot, same_group = (each[:, :, None] == each[:, None, :] for each in (slot, group))
    seen = (same_group & (prompt | same_slot)).tril()
    return additive_mask(seen)


def additive_mask(seen: torch.Tensor) -> torch.Tensor:
    """What is added to attention, (rows, 1, n, n): 0 where ``seen``, (rows, n, n), is true, else minus infinity."""
    return torch.zeros(seen.shape, dtype=torch.bfloat16, device=seen.device).masked_fill(~seen, -torch.inf)[:, None]


def log_probabilities(logits: torch.Tensor, predicted: torch.Tensor, slot: torch.Tensor) -> torch.Tensor:
    """Of each candidate of a piece, summed over its tokens, in nats; shape (SLOTS,).

    Args:
        logits: for what follows each token that was read, (rows, context, vocabulary).
        predicted: ``Piece.predicted``.
        slot: ``Piece.slot``.
    """
    each = -F.cross_entropy(logits.flatten(0, 1).float(), predicted.flatten(), reduction="none")
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
