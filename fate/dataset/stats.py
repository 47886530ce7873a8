"""Numbers about a database: how much there is, how long readers took, how far they agree, what wins."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations, pairwise
from statistics import median
from typing import Any

import numpy as np

from fate.store import Store

SETTINGS = ("temperature", "top_k", "typical_p", "muse_damp")


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

    def __str__(self) -> str:
        if not self.whole:
            return "not enough data"
        low, high = self.interval()
        return f"{self.part / self.whole:.0%} ({self.part:,} of {self.whole:,}, 95 % interval {low:.0%} to {high:.0%})"


@dataclass(frozen=True, slots=True)
class Stats:
    """``wins`` gives, for each setting, (from, to, share of the candidates there that were chosen) by thirds."""

    stories: int
    choices: int
    candidates: int
    decisions: dict[str, int]  # standing ones, by kind
    annotators: dict[str, int]  # standing decisions
    reading_seconds: float | None  # median over the choices that were made in play
    agreement_within: Share  # of an annotator's second thoughts with the first
    agreement_between: Share  # of pairs of annotators on one choice
    positions: list[Share]  # chosen in play, by place on the screen
    wins: dict[str, list[tuple[float, float, Share]]]


def stats(store: Store) -> Stats:
    """All of it; one pass over the decisions and one over the chosen candidates."""
    said: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)  # by choice and annotator
    milliseconds = []
    for choice_id, annotator, kind, verdict, waited, review in store.query(
        "SELECT d.choice_id, a.name, d.kind, COALESCE(c.draft_id, d.candidate_id, d.kind), d.milliseconds, d.review "
        "FROM decision d JOIN annotator a ON a.id = d.annotator_id LEFT JOIN candidate c ON c.id = d.candidate_id "
        "ORDER BY d.created_at, d.id"
    ):
        said[choice_id, annotator].append((kind, verdict))
        if kind == "chosen" and not review:
            milliseconds.append(waited)
    standing = {key: entries[-1] for key, entries in said.items()}
    ((stories, choices, candidates),) = store.query(
        "SELECT (SELECT count(*) FROM story), (SELECT count(*) FROM choice), (SELECT count(*) FROM candidate)"
    )
    positions, wins = _wins(store)
    return Stats(
        stories,
        choices,
        candidates,
        decisions=dict(Counter(kind for kind, _ in standing.values()).most_common()),
        annotators=dict(Counter(annotator for _, annotator in standing).most_common()),
        reading_seconds=median(milliseconds) / 1000 if milliseconds else None,
        agreement_within=_share(_second_thoughts(said.values())),
        agreement_between=_share(_pairs_of_annotators(standing)),
        positions=positions,
        wins=wins,
    )


def _second_thoughts(said: Iterable[list[tuple[str, str]]]) -> Iterator[bool]:
    """Whether each judgement is the one before it; what was withdrawn in between was changed, not judged again."""
    for entries in said:
        for (kind, before), (again, after) in pairwise(entries):
            if "undone" not in (kind, again):
                yield before == after


def _pairs_of_annotators(standing: dict[tuple[str, str], tuple[str, str]]) -> Iterator[bool]:
    verdicts: dict[str, list[str]] = defaultdict(list)
    for (choice_id, _), (kind, verdict) in standing.items():
        if kind != "undone":
            verdicts[choice_id].append(verdict)
    for of_choice in verdicts.values():
        yield from (a == b for a, b in combinations(of_choice, 2))


def _wins(store: Store) -> tuple[list[Share], dict[str, list[tuple[float, float, Share]]]]:
    """How often a candidate of a chosen choice was the one, by its place and by thirds of each setting's range."""
    rows = store.query(
        f"SELECT c.id = d.candidate_id, c.position, {', '.join(f'c.{name}' for name in SETTINGS)} "
        "FROM standing_decision d JOIN candidate c ON c.choice_id = d.choice_id AND c.origin = 'generated' "
        "WHERE d.kind = 'chosen' AND NOT d.review"  # a review shows candidates in other places
    )
    table = np.array(list(rows), dtype=float).reshape(-1, 2 + len(SETTINGS))
    won, places = table[:, 0] == 1, table[:, 1]
    positions = [_count(won, places == place) for place in range(3)]
    wins = {}
    for name, values in zip(SETTINGS, table[:, 2:].T, strict=True):
        edges = np.linspace(values.min(), values.max(), 4).tolist() if len(values) else []
        wins[name] = [
            (low, high, _count(won, (values >= low) & ((values < high) | (high == edges[-1]))))
            for low, high in pairwise(edges)
        ]
    return positions, wins


def _count(won: np.ndarray[Any, Any], where: np.ndarray[Any, Any]) -> Share:
    return Share(int(won[where].sum()), int(where.sum()))


def _share(agreements: Iterator[bool]) -> Share:
    counted = Counter(agreements)
    return Share(counted[True], counted.total())
