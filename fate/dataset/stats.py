"""Numbers about a database: how much there is, how long readers took, how far they agree, what wins."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from itertools import chain, combinations, groupby, pairwise
from operator import itemgetter
from statistics import median
from typing import Any

import numpy as np

from fate.core.choice import UNJUDGED
from fate.store import Store
from fate.store.store import DELETED

SETTINGS = ("temperature", "top_k", "typical_p", "muse_damp")
STEPS = ((1, 1), (2, 3), (4, 7), (8, 15), (16, None))  # of a story, from one
ENOUGH = 30  # of anything, to speak of a share of it

_Numbers = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class Share:
    """``part`` of ``whole``."""

    part: int
    whole: int

    def interval(self, z: float = 1.96) -> tuple[float, float]:
        """Wilson's score interval, 95 % by default (Wilson, 1927); (0, 1) of nothing."""
        n = self.whole
        if not n:
            return 0.0, 1.0
        p = self.part / n
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return max(0.0, middle - half), min(1.0, middle + half)

    @property
    def says_something(self) -> bool:
        """Whether there is enough of it for a share to mean anything."""
        return self.whole >= ENOUGH

    def __str__(self) -> str:
        if not self.says_something:
            return f"not enough data ({self.whole:,})"
        low, high = self.interval()
        return f"{self.part / self.whole:.0%} ({self.part:,} of {self.whole:,}, 95 % interval {low:.0%} to {high:.0%})"


@dataclass(frozen=True, slots=True)
class Agreement:
    """How often two judgements of one choice are the same, and how often they would be by chance.

    A judgement is the place of the candidate that was taken (1, 2 or 3, the same for whoever sees the choice; of an
    edited one that of its draft), a tie, none good, or a passage of one's own. The candidates themselves are others in
    every choice and have no share that chance could be reckoned from; places have, and whoever always takes the first
    agrees with others who do by chance alone.

    ``by_chance`` is Cohen's expectation (A Coefficient of Agreement for Nominal Scales, 1960): the sum over judgements
    of the product of the shares in which the two made them. With more than two annotators it is the mean over the
    pairs of annotators, weighted by the choices that both judged, which gives the pooled kappa of De Vries et al.
    (Using Pooled Kappa to Summarize Interrater Agreement across Many Items, 2008).
    """

    same: Share
    by_chance: float  # in 0 to 1

    @property
    def kappa(self) -> float | None:
        """1 where all agree, 0 where they agree as by chance, at least -1; None where chance alone makes all agree."""
        return self._beyond_chance(self.same.part / self.same.whole) if self.same.whole else None

    def _beyond_chance(self, share: float) -> float | None:
        return (share - self.by_chance) / (1 - self.by_chance) if self.by_chance < 1 else None

    def __str__(self) -> str:
        if not self.same.says_something:
            return str(self.same)
        if self.kappa is None:
            return f"{self.same}; Cohen's kappa: not enough data (one and the same judgement throughout)"
        low, high = map(self._beyond_chance, self.same.interval())  # with chance taken as known
        return f"{self.same}; Cohen's kappa {self.kappa:.2f} ({low:.2f} to {high:.2f})"


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts, and how often a candidate was the chosen one of its choice: by chance, a third of the time.

    ``wins`` has (lowest, highest, share) for the lower, middle and upper third of the drawn values of each setting;
    ``grid`` has them by thirds of temperature (rows) and top_k; ``steps`` by thirds of temperature at each of STEPS.
    """

    stories: int
    choices: int
    candidates: int
    decisions: dict[str, int]  # standing ones, by kind
    annotators: dict[str, int]  # standing decisions
    reading_seconds: float | None  # median over the choices that were made in play
    agreement_within: Agreement  # of an annotator's second thoughts with the first
    agreement_between: Agreement  # of pairs of annotators on one choice
    positions: list[Share]  # chosen in play, by place on the screen
    wins: dict[str, list[tuple[float, float, Share]]]
    grid: list[list[Share]]
    steps: list[list[Share]]


def stats(store: Store) -> Stats:
    """All of it. Memory grows by some 60 bytes with a candidate; texts and tensors are not read."""
    ((stories, choices, candidates),) = store.query(
        "SELECT (SELECT count(*) FROM story WHERE state <> 'deleted'), "
        f"(SELECT count(*) FROM choice WHERE id NOT IN {DELETED}), "
        f"(SELECT count(*) FROM candidate WHERE choice_id NOT IN {DELETED})"
    )
    kinds, annotators = Counter[str](), Counter[str]()
    for annotator, kind, count in store.query(
        "SELECT a.name, d.kind, count(*) FROM standing_decision d JOIN annotator a ON a.id = d.annotator_id "
        f"WHERE d.choice_id NOT IN {DELETED} GROUP BY a.name, d.kind"
    ):
        kinds[kind] += count
        if kind != "auto":  # which nobody said
            annotators[annotator] += count
    waited = store.query(
        f"SELECT milliseconds FROM decision WHERE kind = 'chosen' AND NOT review AND choice_id NOT IN {DELETED}"
    )
    milliseconds = [each for (each,) in waited]
    within, between = _judged_twice(store)
    chosen = _Chosen(store)
    return Stats(
        stories,
        choices,
        candidates,
        decisions=dict(kinds.most_common()),
        annotators=dict(annotators.most_common()),
        reading_seconds=median(milliseconds) / 1000 if milliseconds else None,
        agreement_within=_agreement(within),
        agreement_between=_agreement(between),
        positions=chosen.shares(chosen.position, 3),
        wins=chosen.wins,
        grid=chosen.table(chosen.thirds["temperature"], 3, chosen.thirds["top_k"]),
        steps=chosen.table(chosen.step, len(STEPS), chosen.thirds["temperature"]),
    )


# How often the two of a pair of judges said what, by who they are.
_Pairs = Mapping[Hashable, Counter[tuple[Hashable, Hashable]]]


def _judged_twice(store: Store) -> tuple[_Pairs, _Pairs]:
    """(earlier, later) judgements of one annotator, and those of two annotators that stand, by annotators.

    What was withdrawn in between was changed, not judged again.
    """
    within: dict[Hashable, Counter[tuple[Hashable, Hashable]]] = defaultdict(Counter)
    between: dict[Hashable, Counter[tuple[Hashable, Hashable]]] = defaultdict(Counter)
    rows = store.query(
        "SELECT d.choice_id, d.annotator_id, d.kind, COALESCE(offered.position, d.kind) FROM decision d "
        "LEFT JOIN candidate taken ON taken.id = d.candidate_id "
        "LEFT JOIN candidate offered ON offered.id = COALESCE(taken.draft_id, taken.id) "
        "WHERE d.choice_id IN (SELECT choice_id FROM decision GROUP BY choice_id HAVING count(*) > 1) "
        f"AND d.choice_id NOT IN {DELETED} ORDER BY d.choice_id, d.annotator_id, d.created_at, d.id"
    )
    for _, of_choice in groupby(rows, itemgetter(0)):
        standing = []
        for annotator, said in groupby(of_choice, itemgetter(1)):
            judgements = [None if kind in UNJUDGED else judgement for _, _, kind, judgement in said]
            for first, second in pairwise(judgements):
                if first is not None and second is not None:
                    within[annotator][first, second] += 1
            if judgements[-1] is not None:
                standing.append((annotator, judgements[-1]))
        for (one, first), (other, second) in combinations(standing, 2):
            between[one, other][first, second] += 1
    return within, between


def _agreement(pairs: _Pairs) -> Agreement:
    same = whole = 0
    by_chance = 0.0
    for said in pairs.values():
        count = said.total()
        firsts, seconds = Counter[Hashable](), Counter[Hashable]()
        for (first, second), times in said.items():
            firsts[first] += times
            seconds[second] += times
            same += times * (first == second)
        whole += count
        by_chance += sum(times * seconds[judgement] for judgement, times in firsts.items()) / count
    return Agreement(Share(same, whole), by_chance / whole if whole else 0.0)


class _Chosen:
    """The candidates of choices of which one was chosen in play, in columns."""

    def __init__(self, store: Store) -> None:
        rows = np.fromiter(chain.from_iterable(store.contests()), float).reshape(-1, 4 + len(SETTINGS))
        _, won, position, step, *settings = rows.T
        self._won = won == 1
        self.position = position.astype(int)
        self.step = np.searchsorted([first for first, _ in STEPS], step + 1, side="right") - 1  # which of STEPS
        self.thirds: dict[str, _Numbers] = {}
        self.wins: dict[str, list[tuple[float, float, Share]]] = {}
        for name, values in zip(SETTINGS, settings, strict=True):
            edges = np.quantile(values, (0, 1 / 3, 2 / 3, 1)).tolist() if values.size else [0.0] * 4
            self.thirds[name] = np.searchsorted(edges[1:3], values, side="right")
            shares = self.shares(self.thirds[name], 3)
            self.wins[name] = [(low, high, share) for (low, high), share in zip(pairwise(edges), shares, strict=True)]

    def shares(self, where: _Numbers, count: int) -> list[Share]:
        """How many were chosen of those at each of ``count`` places."""
        parts, wholes = (np.bincount(places, minlength=count) for places in (where[self._won], where))
        return [Share(int(part), int(whole)) for part, whole in zip(parts, wholes, strict=True)]

    def table(self, rows: _Numbers, count: int, thirds: _Numbers) -> list[list[Share]]:
        shares = self.shares(3 * rows + thirds, 3 * count)
        return [shares[at : at + 3] for at in range(0, len(shares), 3)]
