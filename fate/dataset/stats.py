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
STEPS = ((1, 1), (2, 3), (4, 7), (8, 15), (16, None))  # of a story, from one
ENOUGH = 30  # of anything, to speak of a share of it


_KEPT = "h.story_id IN (SELECT id FROM story WHERE state <> 'deleted')"
_Mask = np.ndarray[Any, np.dtype[np.bool_]]


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
    agreement_within: Share  # of an annotator's second thoughts with the first
    agreement_between: Share  # of pairs of annotators on one choice
    positions: list[Share]  # chosen in play, by place on the screen
    wins: dict[str, list[tuple[float, float, Share]]]
    grid: list[list[Share]]
    steps: list[list[Share]]


def stats(store: Store) -> Stats:
    """All of it; one pass over the decisions and one over the chosen candidates."""
    said: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)  # by choice and annotator
    milliseconds = []
    for choice_id, annotator, kind, verdict, waited, review in store.query(
        "SELECT d.choice_id, a.name, d.kind, COALESCE(c.draft_id, d.candidate_id, d.kind), d.milliseconds, d.review "
        "FROM decision d JOIN annotator a ON a.id = d.annotator_id LEFT JOIN candidate c ON c.id = d.candidate_id "
        f"JOIN choice h ON h.id = d.choice_id WHERE {_KEPT} "
        "ORDER BY d.created_at, d.id"
    ):
        said[choice_id, annotator].append((kind, verdict))
        if kind == "chosen" and not review:
            milliseconds.append(waited)
    standing = {key: entries[-1] for key, entries in said.items()}
    ((stories, choices, candidates),) = store.query(
        "SELECT (SELECT count(*) FROM story WHERE state <> 'deleted'), "
        f"(SELECT count(*) FROM choice h WHERE {_KEPT}), "
        f"(SELECT count(*) FROM candidate c JOIN choice h ON h.id = c.choice_id WHERE {_KEPT})"
    )
    chosen = _Chosen(store)
    warmth = [chosen.third("temperature", which) for which in range(3)]
    return Stats(
        stories,
        choices,
        candidates,
        decisions=dict(Counter(kind for kind, _ in standing.values()).most_common()),
        annotators=dict(Counter(annotator for _, annotator in standing).most_common()),
        reading_seconds=median(milliseconds) / 1000 if milliseconds else None,
        agreement_within=_share(_second_thoughts(said.values())),
        agreement_between=_share(_pairs_of_annotators(standing)),
        positions=[chosen.share(chosen.columns["position"] == place) for place in range(3)],
        wins={name: chosen.thirds(name) for name in SETTINGS},
        grid=[[chosen.share(warm & chosen.third("top_k", k)) for k in range(3)] for warm in warmth],
        steps=[[chosen.share(chosen.at(*steps) & warm) for warm in warmth] for steps in STEPS],
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


class _Chosen:
    """The candidates of choices of which one was chosen in play, in columns."""

    def __init__(self, store: Store) -> None:
        names = ("won", "position", "step", *SETTINGS)
        rows = store.query(
            f"SELECT c.id = d.candidate_id, c.position, h.step + 1, {', '.join(f'c.{name}' for name in SETTINGS)} "
            "FROM standing_decision d JOIN choice h ON h.id = d.choice_id "
            "JOIN candidate c ON c.choice_id = h.id AND c.origin = 'generated' "
            f"WHERE d.kind = 'chosen' AND NOT d.review AND {_KEPT}"  # a review shows candidates in other places
        )
        table = np.array(list(rows), dtype=float).reshape(-1, len(names))
        self.columns = dict(zip(names, table.T, strict=True))
        self._edges = {
            name: np.quantile(self.columns[name], (0, 1 / 3, 2 / 3, 1)).tolist() if len(table) else [0.0] * 4
            for name in SETTINGS
        }

    def share(self, where: _Mask) -> Share:
        return Share(int(self.columns["won"][where].sum()), int(where.sum()))

    def third(self, name: str, which: int) -> _Mask:
        """Where a setting is in the lower, middle or upper third of its values."""
        values, edges = self.columns[name], self._edges[name]
        below = values <= edges[3] if which == 2 else values < edges[which + 1]
        return (values >= edges[which]) & below

    def thirds(self, name: str) -> list[tuple[float, float, Share]]:
        edges = enumerate(pairwise(self._edges[name]))
        return [(low, high, self.share(self.third(name, which))) for which, (low, high) in edges]

    def at(self, first: int, last: int | None) -> _Mask:
        steps = self.columns["step"]
        return (steps >= first) & (steps <= (last or math.inf))


def _share(agreements: Iterator[bool]) -> Share:
    counted = Counter(agreements)
    return Share(counted[True], counted.total())
