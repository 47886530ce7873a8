"""Choices as the database holds them, for those who read many: exports, statistics, merging."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Record:
    """One choice with all that belongs to it; rows are columns by name, tensors are safetensors bytes.

    ``candidates`` are in the order of their positions, texts by hand last; ``decisions`` are all that were ever made,
    in the order of time, each with its ``annotator``'s name and its ``reason``, if one was given.
    """

    choice: Row
    story: Row
    model: Row
    candidates: list[Row]
    decisions: list[Row]

    def standing(self) -> list[Row]:
        """The latest decision of each annotator, in the order of time."""
        latest: dict[str, Row] = {}
        for decision in self.decisions:
            latest.pop(decision["annotator_id"], None)
            latest[decision["annotator_id"]] = decision
        return list(latest.values())


def read_records(connection: sqlite3.Connection, since: str = "") -> Iterator[Record]:
    """Every choice from a time on, in the order of time, read as one state of the file; a few are in memory at once."""
    order = "ORDER BY choice.created_at, choice.id"
    connection.execute("BEGIN")
    try:
        models = {row["id"]: row for row in _rows(connection, "SELECT * FROM model")}
        choices = _rows(connection, f"SELECT * FROM choice WHERE created_at >= ? {order}", since)
        candidates = _of_choices(
            connection,
            "SELECT candidate.* FROM choice CROSS JOIN candidate ON candidate.choice_id = choice.id "
            f"WHERE choice.created_at >= ? {order}, candidate.position IS NULL, candidate.position, candidate.id",
            since,
        )
        decisions = _of_choices(
            connection,
            "SELECT decision.*, annotator.name AS annotator, reason.word AS reason FROM choice "
            "CROSS JOIN decision ON decision.choice_id = choice.id "
            "CROSS JOIN annotator ON annotator.id = decision.annotator_id "
            "LEFT JOIN reason ON reason.decision_id = decision.id "
            f"WHERE choice.created_at >= ? {order}, decision.created_at, decision.id",
            since,
        )

        @lru_cache(maxsize=64)
        def story(story_id: str) -> Row:
            return next(_rows(connection, "SELECT * FROM story WHERE id = ?", story_id), {})

        offered, said = next(candidates, None), next(decisions, None)
        for choice in choices:
            # Copies, since whoever reads may change them. A row that is missing, which `fate check` must bear, is {}.
            own_story, own_model = dict(story(choice["story_id"])), dict(models.get(choice["model_id"], {}))
            record = Record(choice, own_story, own_model, [], [])
            if offered and offered[0] == choice["id"]:
                record.candidates.extend(offered[1])
                offered = next(candidates, None)
            if said and said[0] == choice["id"]:
                record.decisions.extend(said[1])
                said = next(decisions, None)
            yield record
    finally:
        connection.rollback()


def _rows(connection: sqlite3.Connection, query: str, *values: str) -> Iterator[Row]:
    cursor = connection.execute(query, values)
    names = [column[0] for column in cursor.description]
    return (dict(zip(names, row, strict=True)) for row in cursor)


def _of_choices(connection: sqlite3.Connection, query: str, since: str) -> Iterator[tuple[str, Iterable[Row]]]:
    for choice_id, rows in groupby(_rows(connection, query, since), itemgetter("choice_id")):
        yield choice_id, list(rows)
