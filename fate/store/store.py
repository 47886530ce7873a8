"""Stories, choices and decisions, written before anyone is told that they are."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path as FilePath
from uuid import uuid4

from sqlalchemy import ColumnElement, text, true
from sqlmodel import Session, col, func, select

from fate.core import choice as core
from fate.core.sampling import SamplerSettings
from fate.core.story import Path, StorySummary, title_of
from fate.store import tables
from fate.store.opening import WRITES, StoreError, database_path, open_engine, readable_errors
from fate.store.tensors import pack_inputs, pack_outputs, unpack_inputs, unpack_outputs

__all__ = ["Store", "StoreError"]


# From the end of a path up to the opening, without the tensors.
_PATH = text(
    """
    WITH RECURSIVE path (choice_id, text, finish_reason, above) AS (
        SELECT choice_id, text, finish_reason, 0 FROM candidate WHERE id = :tip_id
        UNION ALL
        SELECT parent.choice_id, parent.text, parent.finish_reason, path.above + 1
        FROM path
        JOIN choice ON choice.id = path.choice_id
        JOIN candidate parent ON parent.id = choice.parent_id
    )
    SELECT text, finish_reason FROM path ORDER BY above DESC
    """
)


class Store:
    """One SQLite file, ``file``. Every method that writes is one transaction, on disk when it returns.

    Every method raises StoreError where the file cannot be used.
    """

    def __init__(self, location: str | FilePath) -> None:
        self.file = database_path(location)
        self._engine = open_engine(self.file)
        self._clock = threading.Lock()
        with self._reading() as session:
            times = (tables.Story.created_at, tables.Choice.created_at, tables.Decision.created_at)
            self._latest = max(session.exec(select(func.max(col(time)))).one() or "" for time in times)

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
        """All stories, the last played first."""
        with self._reading() as session:
            steps = {
                candidate_id: step + 1
                for candidate_id, step in session.exec(
                    select(tables.Candidate.id, tables.Choice.step)
                    .join(tables.Choice, col(tables.Choice.id) == tables.Candidate.choice_id)
                    .join(tables.Story, col(tables.Story.tip_id) == tables.Candidate.id)
                )
            }
            stories = session.exec(select(tables.Story).order_by(col(tables.Story.played_at).desc())).all()
            return [
                StorySummary(s.id, s.title, steps.get(s.tip_id or "", 0), datetime.fromisoformat(s.played_at))
                for s in stories
            ]

    def path(self, story_id: str) -> Path:
        """Where the reader stands in a story. Raises StoreError where there is no such story."""
        with self._reading() as session:
            story = self._story(session, story_id)
            chosen = session.connection().execute(_PATH, {"tip_id": story.tip_id}).all()
            ended = bool(chosen) and chosen[-1].finish_reason == "eos"
            passages = tuple(candidate.text for candidate in chosen)
            return Path(story.id, story.title, story.opening, passages, story.tip_id, ended)

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
                    created_at=self._now(),
                )
            )
            session.flush()
            session.add_all(_candidate_row(choice.id, candidate) for candidate in choice.candidates)

    def decide(self, choice: core.Choice, decision: core.Decision) -> None:
        """Add a decision, and move the reader: past the chosen candidate, or back to before the choice."""
        with self._writing() as session:
            story = self._story(session, choice.story_id)
            story.tip_id = decision.candidate_id if decision.kind == "chosen" else choice.parent_id
            story.played_at = self._now()
            session.add(
                tables.Decision(
                    id=_new_id(),
                    choice_id=choice.id,
                    candidate_id=decision.candidate_id,
                    kind=decision.kind,
                    annotator_id=_annotator_id(session, decision.annotator),
                    milliseconds=decision.milliseconds,
                    blind=decision.blind,
                    created_at=story.played_at,
                )
            )

    def choice_of(self, candidate_id: str) -> core.Choice:
        """The choice in which a candidate was offered."""
        with self._reading() as session:
            candidate = session.get_one(tables.Candidate, candidate_id)
            return _choice_value(session, session.get_one(tables.Choice, candidate.choice_id))

    def open_choice(self, story_id: str) -> core.Choice | None:
        """The choice that waits where the reader stands: the one that was touched last, if any does."""
        with self._reading() as session:
            story = self._story(session, story_id)
            latest = func.coalesce(func.max(col(tables.Decision.created_at)), col(tables.Choice.created_at))
            rows = session.exec(
                select(tables.Choice)
                .outerjoin(tables.Decision, col(tables.Decision.choice_id) == tables.Choice.id)
                .where(tables.Choice.story_id == story_id)
                .where(_is(tables.Choice.parent_id, story.tip_id))
                .group_by(tables.Choice.id)
                .order_by(latest.desc())
            )
            choices = (_choice_value(session, row) for row in rows)
            return next((c for c in choices if c.decision is None or c.decision.kind == "undone"), None)

    def last_decided(self, story_id: str) -> core.Choice | None:
        """The choice of the last decision on the reader's path that has not been undone."""
        with self._reading() as session:
            story = self._story(session, story_id)
            here = session.exec(
                select(tables.Choice)
                .where(tables.Choice.story_id == story_id)
                .where(_is(tables.Choice.parent_id, story.tip_id))
            ).all()
            rerolled = [
                (standing.created_at, row)
                for row in here
                if (standing := _standing(session, row.id)) is not None and standing.kind == "none_good"
            ]
            if rerolled:
                return _choice_value(session, max(rerolled, key=lambda item: item[0])[1])
            if story.tip_id is None:
                return None
            tip = session.get_one(tables.Candidate, story.tip_id)
            return _choice_value(session, session.get_one(tables.Choice, tip.choice_id))

    def choices(self, story_id: str | None = None) -> Iterator[core.Choice]:
        """Every choice that was ever offered, or those of one story, in the order of time; one in memory at once."""
        of_story = col(tables.Choice.story_id) == story_id if story_id else true()
        with self._reading() as session:
            ids = session.exec(
                select(tables.Choice.id).where(of_story).order_by(col(tables.Choice.created_at), col(tables.Choice.id))
            ).all()
        for choice_id in ids:
            with self._reading() as session:
                choice = _choice_value(session, session.get_one(tables.Choice, choice_id))
            yield choice

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

    def _story(self, session: Session, story_id: str) -> tables.Story:
        story = session.get(tables.Story, story_id)
        if story is None:
            raise StoreError(f"There is no story {story_id} in {self.file}.")
        return story


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


def _standing(session: Session, choice_id: str) -> tables.Decision | None:
    """The latest decision of a choice."""
    return session.exec(
        select(tables.Decision)
        .where(tables.Decision.choice_id == choice_id)
        .order_by(col(tables.Decision.created_at).desc(), col(tables.Decision.id).desc())
        .limit(1)
    ).first()


def _candidate_row(choice_id: str, candidate: core.Candidate) -> tables.Candidate:
    written = candidate.written
    return tables.Candidate(
        id=candidate.id,
        choice_id=choice_id,
        slot=candidate.slot,
        position=candidate.position,
        text=written.text,
        **asdict(written.settings),
        shown=candidate.shown,
        policy=candidate.policy,
        log_density=candidate.log_density,
        seed=written.seed,
        output_tensors=pack_outputs(
            written.output_ids,
            uniforms=written.uniforms,
            logprobs=written.logprobs,
            warped_logprobs=written.warped_logprobs,
        ),
        kept=written.kept,
        finish_reason=written.finish_reason,  # type: ignore[arg-type]  # the column refuses an unfinished one
        milliseconds=written.milliseconds,
    )


def _candidate_value(row: tables.Candidate) -> core.Candidate:
    tensors = unpack_outputs(row.output_tensors)
    written = core.Continuation(
        settings=SamplerSettings(**{name: getattr(row, name) for name in SamplerSettings.__dataclass_fields__}),
        seed=row.seed,
        text=row.text,
        output_ids=tuple(int(token) for token in tensors["output_ids"]),
        kept=row.kept,
        uniforms=tensors["uniforms"],
        logprobs=tensors["logprobs"],
        warped_logprobs=tensors["warped_logprobs"],
        finish_reason=row.finish_reason,  # type: ignore[arg-type]  # the column is text
        milliseconds=row.milliseconds,
    )
    return core.Candidate(row.id, row.slot, row.position, row.shown, row.policy, row.log_density, written)


def _choice_value(session: Session, row: tables.Choice) -> core.Choice:
    candidates = session.exec(
        select(tables.Candidate).where(tables.Candidate.choice_id == row.id).order_by(col(tables.Candidate.position))
    ).all()
    standing = _standing(session, row.id)
    model = session.get_one(tables.Model, row.model_id)
    return core.Choice(
        id=row.id,
        story_id=row.story_id,
        parent_id=row.parent_id,
        step=row.step,
        prompt=row.prompt,
        prompt_ids=unpack_inputs(row.input_tensors),
        cached_tokens=row.cached_tokens,
        model=core.ModelInfo(**{name: getattr(model, name) for name in core.ModelInfo.__dataclass_fields__}),
        candidates=tuple(_candidate_value(candidate) for candidate in candidates),
        decision=None
        if standing is None
        else core.Decision(
            kind=standing.kind,  # type: ignore[arg-type]  # the column is text
            candidate_id=standing.candidate_id,
            milliseconds=standing.milliseconds,
            annotator=session.get_one(tables.Annotator, standing.annotator_id).name,
            blind=standing.blind,
        ),
    )
