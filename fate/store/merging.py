"""Choices from elsewhere into a database: what is new is added, what differs is told, nothing is overwritten."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from fate.store.records import Record, Row


@dataclass
class Merged:
    """What came of a merge. ``added`` and ``known`` count rows by table; ``problems`` say what was left out and why."""

    added: Counter[str] = field(default_factory=Counter)
    known: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


# What may differ between two copies of one row: where a reader stands, what one has seen, what was not yet recorded.
_OWN = {"story": {"title", "tip_id", "played_at", "state"}, "model": {"license"}, "choice": {"revealed"}}

_KEYS = {"reason": "decision_id"}  # of the other tables it is "id"


def merge(connection: sqlite3.Connection, records: Iterable[Record]) -> Merged:
    """Add choices, each after the one that it continues. The caller holds the transaction."""
    merger = _Merger(connection)
    for record in records:
        merger.add(record)
    merger.place_readers()
    return merger.merged


class _Merger:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self.merged = Merged()
        self._connection = connection
        self._new_stories: list[Row] = []
        self._columns = {
            table: [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            for table in ("story", "model", "annotator", "choice", "candidate", "decision", "reason")
        }

    def add(self, record: Record) -> None:
        choice = record.choice
        rows = [("story", record.story), ("model", record.model), ("choice", choice)]
        rows += [("candidate", row) for row in record.candidates]
        rows += [("decision", row) for row in record.decisions]
        reasons = [{"decision_id": row["id"], "word": row["reason"]} for row in record.decisions if row.get("reason")]
        rows += [("reason", row) for row in reasons]
        problems = [problem for table, row in rows if (problem := self._conflict(table, row))]
        parent = choice["parent_id"]
        if parent is not None and self._row("candidate", parent) is None:
            problems.append(f"the candidate {parent} that it continues is not here")
        if problems:
            self.merged.problems.append(f"choice {choice['id']} was left out: {'; '.join(problems)}")
            return
        if self._insert("story", {**record.story, "tip_id": None}):
            self._new_stories.append(record.story)
        self._insert("model", record.model)
        if not self._insert("choice", choice) and choice.get("revealed"):
            self._connection.execute("UPDATE choice SET revealed = 1 WHERE id = ?", (choice["id"],))
        # A draft stands before what was edited from it.
        for candidate in sorted(record.candidates, key=lambda row: row["draft_id"] is not None):
            self._insert("candidate", candidate)
        for decision in record.decisions:
            self._name(decision)
            self._insert("decision", decision)
        for reason in reasons:
            self._insert("reason", reason)

    def place_readers(self) -> None:
        """In a story that is new here, the reader stands where the last decision put them."""
        for story in self._new_stories:
            last = self._connection.execute(
                "SELECT d.candidate_id, c.parent_id, d.created_at FROM decision d JOIN choice c ON c.id = d.choice_id "
                "WHERE c.story_id = ? AND NOT d.review ORDER BY d.created_at DESC, d.id DESC LIMIT 1",
                (story["id"],),
            ).fetchone()
            if last is not None:
                self._connection.execute(
                    "UPDATE story SET tip_id = ?, played_at = ? WHERE id = ?",
                    (last[0] or last[1], last[2], story["id"]),
                )

    def _conflict(self, table: str, row: Row) -> str | None:
        """What a row says differently from the one that is here under its id."""
        key = row[_KEYS.get(table, "id")]
        here = self._row(table, key)
        if here is None:
            return None
        own = _OWN.get(table, set())
        differing = [n for n in self._columns[table] if n not in own and n in row and row[n] != here[n]]
        return f"{table} {key} is here with another {', '.join(differing)}" if differing else None

    def _row(self, table: str, row_id: str) -> Row | None:
        key = _KEYS.get(table, "id")
        found = self._connection.execute(f"SELECT * FROM {table} WHERE {key} = ?", (row_id,)).fetchone()
        return dict(zip(self._columns[table], found, strict=True)) if found else None

    def _insert(self, table: str, row: Row) -> bool:
        """Add a row that is not there yet."""
        if self._row(table, row[_KEYS.get(table, "id")]):
            self.merged.known[table] += 1
            return False
        columns = [name for name in self._columns[table] if name in row]
        places = ", ".join("?" * len(columns))
        self._connection.execute(
            f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})", [row[name] for name in columns]
        )
        self.merged.added[table] += 1
        return True

    def _name(self, decision: Row) -> None:
        """See to it that a decision's annotator is here; two people of one name get a number."""
        if self._row("annotator", decision["annotator_id"]):
            return
        name, number = decision["annotator"], 1
        while self._connection.execute("SELECT 1 FROM annotator WHERE name = ?", (name,)).fetchone():
            number += 1
            name = f"{decision['annotator']} {number}"
        self._insert("annotator", {"id": decision["annotator_id"], "name": name})
