"""Choices as the database holds them, for those who read many: exports, statistics, merging."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fate.core.choice import Text

Row = dict[str, Any]
Columns = dict[str, list[Any]]

_TOGETHER = 500  # choices of a batch, some ten megabytes


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

    def texts(self) -> list[Text]:
        """What was offered, as far as preferences are between it."""
        return [Text(c["id"], c["text"], c["draft_id"], c["origin"] != "generated") for c in self.candidates]


@dataclass(frozen=True, slots=True)
class Batch:
    """Choices that follow each other in time, and all that belongs to them, as columns, which are fast to read.

    Those of one choice stand together in ``candidates`` and ``decisions``, in the order of the choices and within it
    as in a Record. ``stories`` and ``models`` are rows by their ids; one that is missing in the file is {}.
    """

    choices: Columns
    candidates: Columns
    decisions: Columns
    stories: dict[str, Row]
    models: dict[str, Row]

    def __len__(self) -> int:
        return len(self.choices["id"])

    def sizes(self, table: Columns) -> list[int]:
        """How many rows of ``candidates`` or ``decisions`` each choice has."""
        place = {choice_id: n for n, choice_id in enumerate(self.choices["id"])}
        sizes = [0] * len(self)
        for choice_id in table["choice_id"]:
            sizes[place[choice_id]] += 1
        return sizes

    def standing(self, *, reviews: bool = True) -> Iterable[Row]:
        """The latest decision of each annotator on each choice, or the latest in play."""
        rows = (row for row in _rows(self.decisions) if reviews or not row["review"])
        return {(row["choice_id"], row["annotator_id"]): row for row in rows}.values()

    def records(self) -> Iterator[Record]:
        """The choices one by one."""
        candidates, decisions = _rows(self.candidates), _rows(self.decisions)
        sizes = zip(self.sizes(self.candidates), self.sizes(self.decisions), strict=True)
        for choice, (offered, said) in zip(_rows(self.choices), sizes, strict=True):
            yield Record(
                choice,
                dict(self.stories[choice["story_id"]]),  # copies, since whoever reads may change them
                dict(self.models[choice["model_id"]]),
                [next(candidates) for _ in range(offered)],
                [next(decisions) for _ in range(said)],
            )


def read_batches(
    connection: sqlite3.Connection, since: str = "", *, annotators: Sequence[str] = (), deleted: bool = False
) -> Iterator[Batch]:
    """Every choice from a time on, in the order of time, read as one state of the file.

    With ``annotators`` only decisions of these, and choices that have any; choices of deleted stories only with
    ``deleted``.
    """
    theirs = f"annotator.name IN ({', '.join('?' * len(annotators))})" if annotators else "true"
    wanted = ["created_at >= ?"]
    if not deleted:
        wanted.append("story_id NOT IN (SELECT id FROM story WHERE state = 'deleted')")
    if annotators:
        wanted.append(
            "id IN (SELECT choice_id FROM decision JOIN annotator ON annotator.id = annotator_id "
            f"WHERE created_at >= ? AND {theirs})"
        )
    connection.execute("BEGIN")
    try:
        models = {row["id"]: row for row in _rows(_columns(connection.execute("SELECT * FROM model")))}
        choices = connection.execute(
            f"SELECT * FROM choice WHERE {' AND '.join(wanted)} ORDER BY created_at, id",
            (since, *((since, *annotators) if annotators else ())),
        )
        while (batch := _columns(choices, _TOGETHER))["id"]:
            # The same stretch of time of the other tables; whose choice is not wanted is left out.
            stretch = (batch["created_at"][0], batch["id"][0], batch["created_at"][-1], batch["id"][-1])
            within = "(choice.created_at, choice.id) BETWEEN (?, ?) AND (?, ?) ORDER BY choice.created_at, choice.id"
            ids = set(batch["id"])
            candidates = connection.execute(
                "SELECT candidate.* FROM choice CROSS JOIN candidate ON candidate.choice_id = choice.id "
                f"WHERE {within}, candidate.position IS NULL, candidate.position, candidate.id",
                stretch,
            )
            decisions = connection.execute(
                "SELECT decision.*, annotator.name AS annotator, reason.word AS reason FROM choice "
                "CROSS JOIN decision ON decision.choice_id = choice.id "
                "CROSS JOIN annotator ON annotator.id = decision.annotator_id "
                "LEFT JOIN reason ON reason.decision_id = decision.id "
                f"WHERE {theirs} AND {within}, decision.created_at, decision.id",
                (*annotators, *stretch),
            )
            stories = {
                story_id: next(_rows(_columns(connection.execute("SELECT * FROM story WHERE id = ?", (story_id,)))), {})
                for story_id in dict.fromkeys(batch["story_id"])
            }
            yield Batch(
                batch,
                _of(ids, _columns(candidates)),
                _of(ids, _columns(decisions)),
                stories,
                {model_id: models.get(model_id, {}) for model_id in dict.fromkeys(batch["model_id"])},
            )
    finally:
        connection.rollback()


def _columns(cursor: sqlite3.Cursor, count: int | None = None) -> Columns:
    """The next ``count`` rows, or all."""
    rows = cursor.fetchall() if count is None else cursor.fetchmany(count)
    names = [column[0] for column in cursor.description]
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)) if rows else {name: [] for name in names}


def _of(choices: set[str], table: Columns) -> Columns:
    """The rows that belong to these choices."""
    if choices.issuperset(table["choice_id"]):
        return table
    kept = [choice_id in choices for choice_id in table["choice_id"]]
    return {name: [value for value, keep in zip(column, kept, strict=True) if keep] for name, column in table.items()}


def _rows(table: Columns) -> Iterator[Row]:
    return (dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True))
