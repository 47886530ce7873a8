"""Stories, choices and decisions, written before anyone is told that they are."""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from pathlib import Path as FilePath
from typing import Any, cast
from uuid import uuid4

from sqlalchemy import ColumnElement, text, true
from sqlmodel import Session, col, func, select

from fate.core import choice as core
from fate.core.story import Branch, Path, StoryState, StorySummary, title_of
from fate.core.text import one_line
from fate.store import tables
from fate.store.merging import Merged, merge
from fate.store.opening import WRITES, StoreError, database_path, open_engine, open_to_read, readable_errors
from fate.store.records import Batch, Record, read_batches
from fate.store.tensors import pack_inputs
from fate.store.values import candidate_row, choice_value, decisions_on, settings_of

__all__ = ["Store", "StoreError"]


# From the end of a path up to the opening, without the tensors.
_PATH = text(
    """
    WITH RECURSIVE path (choice_id, text, above) AS (
        SELECT choice_id, text, 0 FROM candidate WHERE id = :tip_id
        UNION ALL
        SELECT parent.choice_id, parent.text, path.above + 1
        FROM path
        JOIN choice ON choice.id = path.choice_id
        JOIN candidate parent ON parent.id = choice.parent_id
    )
    SELECT text FROM path ORDER BY above DESC
    """
)


# Passages and words after the opening, of each story as the reader has it; a word follows on a space or a line break.
_LENGTHS = text(
    """
    WITH RECURSIVE path (story_id, choice_id, text) AS (
        SELECT story.id, choice_id, text FROM story JOIN candidate ON candidate.id = story.tip_id
        UNION ALL
        SELECT path.story_id, parent.choice_id, parent.text
        FROM path
        JOIN choice ON choice.id = path.choice_id
        JOIN candidate parent ON parent.id = choice.parent_id
    ), spaced AS (SELECT story_id, replace(text, char(10) || char(10), ' ') AS text FROM path)
    SELECT story_id, count(*), sum(length(text) - length(replace(replace(text, ' ', ''), char(10), '')))
    FROM spaced GROUP BY story_id
    """
)


_NAMED = 5  # annotators, where one that is not there is told

# The choices of stories that were deleted, which count nowhere. They are few, so this is faster than to look up the
# story of every choice.
DELETED = "(SELECT h.id FROM story s JOIN choice h ON h.story_id = s.id WHERE s.state = 'deleted')"


class Store:
    """One SQLite file, ``file``. Every method that writes is one transaction, on disk when it returns.

    Every method raises StoreError where the file cannot be used. With ``writes=False`` the file is opened as it is,
    and nothing in or beside it changes.
    """

    def __init__(self, location: str | FilePath, *, writes: bool = True) -> None:
        self.file = database_path(location)
        self._engine = open_engine(self.file) if writes else open_to_read(self.file)
        self._clock = threading.Lock()
        self._latest = self._latest_time()

    def close(self) -> None:
        self._engine.dispose()

    # --- stories ----------------------------------------------------------------------------------

    def new_story(self, opening: str) -> str:
        """Begin a story; returns its id. White space around the opening is not kept."""
        opening = opening.replace("\r\n", "\n").strip()
        now = self._now()
        story = tables.Story(id=_new_id(), title=title_of(opening), opening=opening, created_at=now, played_at=now)
        story_id = story.id
        with self._writing() as session:
            session.add(story)
        return story_id

    def stories(self) -> list[StorySummary]:
        """All stories that were not deleted, the last played first."""
        with self._reading() as session:
            lengths = {story_id: (steps, words) for story_id, steps, words in session.connection().execute(_LENGTHS)}
            stories = session.exec(
                select(tables.Story).where(tables.Story.state != "deleted").order_by(col(tables.Story.played_at).desc())
            )
            return [
                StorySummary(
                    s.id,
                    s.title,
                    steps,
                    len(s.opening.split()) + words,
                    datetime.fromisoformat(s.played_at),
                    s.state,  # type: ignore[arg-type]  # the column is text
                )
                for s in stories
                for steps, words in [lengths.get(s.id, (0, 0))]
            ]

    def rename(self, story_id: str, title: str) -> None:
        """Give a story another title; white space around it is not kept. Raises ValueError for an empty one."""
        if not title.strip():
            raise ValueError("title must not be empty")
        with self._writing() as session:
            self._story(session, story_id).title = " ".join(title.split())

    def put(self, story_id: str, state: StoryState) -> None:
        """Archive a story, delete it, or bring it back. What was deleted stays in the file and leaves every export."""
        with self._writing() as session:
            self._story(session, story_id).state = state

    def path(self, story_id: str) -> Path:
        """Where the reader stands in a story. Raises StoreError where there is no such story."""
        with self._reading() as session:
            story = self._story(session, story_id)
            chosen = session.connection().execute(_PATH, {"tip_id": story.tip_id}).all()
            tip = session.get(tables.Candidate, story.tip_id) if story.tip_id else None
            return Path(
                story.id,
                story.title,
                story.opening,
                passages=tuple(candidate.text for candidate in chosen),
                tip_id=story.tip_id,
                ended=tip is not None and tip.finish_reason == "eos",
                written_with=settings_of(tip) if tip and tip.origin == "generated" else None,
            )

    def branches(self, story_id: str) -> list[Branch]:
        """Everything that was ever offered or written in a story, in the order of time and of the screen."""
        rows = self.query(
            "SELECT c.id, h.id, h.parent_id, h.step, c.text, c.origin, "
            "EXISTS (SELECT 1 FROM decision d WHERE d.candidate_id = c.id) "
            "FROM choice h JOIN candidate c ON c.choice_id = h.id WHERE h.story_id = ? "
            "ORDER BY h.created_at, h.id, c.position IS NULL, c.position, c.id",
            story_id,
        )
        return [
            Branch(text_id, choice_id, parent_id, step, words, origin, bool(taken))
            for text_id, choice_id, parent_id, step, words, origin, taken in rows
        ]

    def stand(self, story_id: str, candidate_id: str | None) -> None:
        """Move the reader to a text of a story, or to its opening; nothing is said of any choice by that."""
        with self._writing() as session:
            story = self._story(session, story_id)
            if candidate_id is not None:
                candidate = session.get_one(tables.Candidate, candidate_id)
                if session.get_one(tables.Choice, candidate.choice_id).story_id != story_id:
                    raise StoreError(f"The text {candidate_id} belongs to another story.")
            story.tip_id, story.played_at = candidate_id, self._now()

    # --- choices ----------------------------------------------------------------------------------

    def add_choice(self, choice: core.Choice) -> None:
        """Keep a choice and its complete candidates."""
        with self._writing() as session:
            if session.get(tables.Model, choice.model.id) is None:
                session.add(tables.Model(**asdict(choice.model)))
                session.flush()  # the tables refer to each other in a circle, so the order is ours to keep
            session.add(
                tables.Choice(
                    id=choice.id,
                    story_id=choice.story_id,
                    parent_id=choice.parent_id,
                    step=choice.step,
                    prompt=choice.prompt,
                    input_tensors=pack_inputs(choice.prompt_ids),
                    cached_tokens=choice.cached_tokens,
                    model_id=choice.model.id,
                    revealed=choice.revealed,
                    created_at=self._now(),
                )
            )
            session.flush()
            session.add_all(candidate_row(choice.id, candidate) for candidate in choice.candidates)

    def reveal(self, choice_id: str) -> None:
        """Note that the parameters of a choice are about to be shown; nothing, where it is not kept yet."""
        with self._writing() as session:
            if row := session.get(tables.Choice, choice_id):
                row.revealed = True

    def show(self, choice_id: str) -> None:
        """Note that the candidates of a choice are about to be on a screen, which so far were on none."""
        with self._writing() as session:
            of_choice = col(tables.Candidate.choice_id) == choice_id
            for row in session.exec(select(tables.Candidate).where(of_choice, tables.Candidate.origin == "generated")):
                row.shown = True

    def decide(
        self,
        choice: core.Choice,
        decision: core.Decision,
        by_hand: core.ByHand | None = None,
        *,
        again: bool = False,
    ) -> str:
        """Add a decision, with the text by hand that it takes, if it does; returns its id.

        Moves the reader past the text that was taken, or back to before the choice; a review moves nobody. What is
        decided in play of a choice that was revealed is not blind, whatever the decision says, unless it is said
        ``again``: then it is as blind as it was.
        """
        decision_id = _new_id()
        with self._writing() as session:
            story = self._story(session, choice.story_id)
            now = self._now()
            if by_hand is not None:
                origin = "edited" if by_hand.draft_id else "written"
                session.add(tables.Candidate(**asdict(by_hand), choice_id=choice.id, origin=origin, shown=False))
                session.flush()
            if not decision.review:
                story.tip_id = decision.candidate_id or choice.parent_id
                story.played_at = now
            revealed = session.get_one(tables.Choice, choice.id).revealed
            session.add(
                tables.Decision(
                    id=decision_id,
                    choice_id=choice.id,
                    candidate_id=decision.candidate_id,
                    kind=decision.kind,
                    annotator_id=_annotator_id(session, decision.annotator),
                    milliseconds=decision.milliseconds,
                    blind=decision.blind and (decision.review or again or not revealed),
                    review=decision.review,
                    created_at=now,
                )
            )
            if decision.reason:
                session.flush()
                session.add(tables.Reason(decision_id=decision_id, word=decision.reason))
        return decision_id

    def explain(self, decision_id: str, reason: core.Reason) -> None:
        """Say why a decision was made; once, since what was said is never changed."""
        with self._writing() as session:
            session.add(tables.Reason(decision_id=decision_id, word=reason))

    def choice(self, choice_id: str) -> core.Choice:
        """A choice by its id, which must be one of this store's."""
        with self._reading() as session:
            return choice_value(session, session.get_one(tables.Choice, choice_id))

    def choice_of(self, candidate_id: str) -> core.Choice:
        """The choice in which a candidate was offered."""
        with self._reading() as session:
            candidate = session.get_one(tables.Candidate, candidate_id)
            return choice_value(session, session.get_one(tables.Choice, candidate.choice_id))

    def open_choice(self, story_id: str) -> core.Choice | None:
        """The choice that waits where the reader stands: the one that was touched last, if any does."""
        with self._reading() as session:
            story = self._story(session, story_id)
            waiting = [
                (last.created_at if last else row.created_at, row)
                for row in _choices_at(session, story)
                if (last := _last_said(session, row.id)) is None or last.kind == "undone"
            ]
            return choice_value(session, max(waiting, key=itemgetter(0))[1]) if waiting else None

    def stepped_here(self, story_id: str) -> bool:
        """Whether the reader came over the tree to where they stand, and has said nothing since."""
        with self._reading() as session:
            return _stepped_here(session, self._story(session, story_id))

    def last_decided(self, story_id: str) -> core.Choice | None:
        """The choice of the last decision on the reader's path; of what was passed over here, only since they came."""
        with self._reading() as session:
            story = self._story(session, story_id)
            passed = [
                (last.created_at, row)
                for row in _choices_at(session, story)
                if (last := _last_said(session, row.id)) is not None and last.kind in ("none_good", "tie")
            ]
            if passed and not _stepped_here(session, story):
                return choice_value(session, max(passed, key=itemgetter(0))[1])
            if story.tip_id is None:
                return None
            tip = session.get_one(tables.Candidate, story.tip_id)
            return choice_value(session, session.get_one(tables.Choice, tip.choice_id))

    def said(self, choice: core.Choice) -> list[core.Decision]:
        """All that was said of a choice while the story was played, in the order of time."""
        with self._reading() as session:
            return decisions_on(session, choice.id, review=False)

    def choices(self, story_id: str | None = None) -> Iterator[core.Choice]:
        """Every choice that was ever offered, or those of one story, in the order of time; one in memory at once."""
        of_story = col(tables.Choice.story_id) == story_id if story_id else true()
        with self._reading() as session:
            ids = session.exec(
                select(tables.Choice.id).where(of_story).order_by(col(tables.Choice.created_at), col(tables.Choice.id))
            ).all()
        for choice_id in ids:
            yield self.choice(choice_id)

    def check_names(self, annotators: Sequence[str]) -> None:
        """Raises StoreError for a name by which nobody ever decided."""
        known = [name for (name,) in self.query("SELECT name FROM annotator ORDER BY name")] if annotators else []
        for name in annotators:
            if name not in known:
                some = ", ".join(map(one_line, known[:_NAMED])) + (" and others" if len(known) > _NAMED else "")
                raise StoreError(
                    f"{self.file} has no decisions by {one_line(name)}; it has some by {some or 'nobody'}."
                )

    def batches(self, since: str = "", *, annotators: Sequence[str] = (), deleted: bool = False) -> Iterator[Batch]:
        """Every choice from an ISO 8601 time (UTC) on, as the database holds it, for those who read many.

        With names of annotators only what these said, and choices of which they said anything; those of deleted
        stories only where that is asked for. Raises StoreError for a name that nobody has.
        """
        self.check_names(annotators)
        with readable_errors(self.file), closing(self._engine.raw_connection()) as connection:
            yield from read_batches(
                cast(sqlite3.Connection, connection.driver_connection), since, annotators=annotators, deleted=deleted
            )

    def records(self, *, deleted: bool = False) -> Iterator[Record]:
        """Every choice as in ``batches``, one by one."""
        for batch in self.batches(deleted=deleted):
            yield from batch.records()

    def merge(self, records: Iterable[Record]) -> Merged:
        """Add choices of another database, all or nothing; see ``fate.store.merging``."""
        with readable_errors(self.file), closing(self._engine.raw_connection()) as pooled:
            connection = cast(sqlite3.Connection, pooled.driver_connection)
            connection.execute("BEGIN IMMEDIATE")
            try:
                merged = merge(connection, records)
                connection.execute("COMMIT")
            except BaseException:
                connection.rollback()
                raise
        self._latest = self._latest_time()
        return merged

    def chosen_at(self) -> Counter[int]:
        """How often a candidate was chosen at each place on the screen, undone or not."""
        return Counter(
            dict(
                self.query(
                    "SELECT c.position, count(*) FROM decision d JOIN candidate c ON c.id = d.candidate_id "
                    "WHERE d.kind = 'chosen' AND c.position IS NOT NULL GROUP BY c.position"
                )
            )
        )

    def contests(self, weights_sha256: str | None = None) -> Iterator[tuple[float, ...]]:
        """The candidates of every decision in play that chose one of three, those of a decision together.

        Of each: a number of the decision, whether it was chosen, position, step, temperature, top_k, typical_p and
        muse_damp. What was said in play counts, whatever a review said later; deleted stories do not. With the hash of
        a model's weights, only what that model wrote.
        """
        return self.query(
            "SELECT d.rowid, c.id = d.candidate_id, c.position, h.step, "
            "c.temperature, c.top_k, c.typical_p, c.muse_damp "
            "FROM decision d CROSS JOIN choice h ON h.id = d.choice_id "
            "CROSS JOIN candidate c ON c.choice_id = h.id "
            "WHERE d.kind = 'chosen' AND NOT d.review AND NOT EXISTS ("
            "SELECT 1 FROM decision l WHERE l.choice_id = d.choice_id AND l.annotator_id = d.annotator_id "
            "AND NOT l.review AND (l.created_at, l.id) > (d.created_at, d.id)) "
            "AND c.position BETWEEN 0 AND 2 "
            f"AND h.id NOT IN {DELETED} "
            + ("AND h.model_id IN (SELECT id FROM model WHERE weights_sha256 = ?)" if weights_sha256 else ""),
            *([weights_sha256] if weights_sha256 else []),
        )

    def query(self, sql: str, *values: str | int) -> Iterator[tuple[Any, ...]]:
        """The rows of a SELECT on the tables that docs/dataset.md describes."""
        with readable_errors(self.file), closing(self._engine.raw_connection()) as connection:
            yield from cast(sqlite3.Connection, connection.driver_connection).execute(sql, values)

    # --- inside -----------------------------------------------------------------------------------

    @contextmanager
    def _reading(self) -> Iterator[Session]:
        with readable_errors(self.file), Session(self._engine) as session:
            yield session

    @contextmanager
    def _writing(self) -> Iterator[Session]:
        with readable_errors(self.file), Session(self._engine.execution_options(**{WRITES: True})) as session:
            yield session
            session.commit()

    def _now(self) -> str:
        """The time, and later than any time in the file: what stands must not hang on a clock that was set back."""
        with self._clock:
            now = datetime.now(UTC)
            if self._latest:
                now = max(now, datetime.fromisoformat(self._latest) + timedelta(microseconds=1))
            self._latest = now.isoformat(timespec="microseconds")
            return self._latest

    def _latest_time(self) -> str:
        with self._reading() as session:
            times = (tables.Story.created_at, tables.Choice.created_at, tables.Decision.created_at)
            return max(session.exec(select(func.max(col(time)))).one() or "" for time in times)

    def _story(self, session: Session, story_id: str) -> tables.Story:
        story = session.get(tables.Story, story_id)
        if story is None:
            raise StoreError(f"There is no story {story_id} in {self.file}.")
        return story


def _stepped_here(session: Session, story: tables.Story) -> bool:
    latest = session.exec(
        select(func.max(col(tables.Decision.created_at)))
        .join(tables.Choice, col(tables.Choice.id) == tables.Decision.choice_id)
        .where(tables.Choice.story_id == story.id)
        .where(col(tables.Decision.review).is_(False))
    ).one()
    return latest is None or story.played_at > latest  # a decision moves the story at its own time


def _new_id() -> str:
    return uuid4().hex


def _is(column: str | None, value: str | None) -> ColumnElement[bool]:
    """Equality in which null equals null."""
    return col(column).is_not_distinct_from(value)


def _annotator_id(session: Session, name: str) -> str:
    annotator = session.exec(select(tables.Annotator).where(tables.Annotator.name == name)).first()
    if annotator is None:
        annotator = tables.Annotator(id=_new_id(), name=name)
        session.add(annotator)
        session.flush()
    return annotator.id


def _choices_at(session: Session, story: tables.Story) -> Sequence[tables.Choice]:
    """The choices that were offered where the reader stands."""
    return session.exec(
        select(tables.Choice)
        .where(tables.Choice.story_id == story.id)
        .where(_is(tables.Choice.parent_id, story.tip_id))
    ).all()


def _last_said(session: Session, choice_id: str) -> tables.Decision | None:
    """The latest decision of a choice by which the story went on, whoever made it."""
    return session.exec(
        select(tables.Decision)
        .where(tables.Decision.choice_id == choice_id)
        .where(col(tables.Decision.review).is_(False))
        .order_by(col(tables.Decision.created_at).desc(), col(tables.Decision.id).desc())
        .limit(1)
    ).first()
