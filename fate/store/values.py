"""Rows of the database as values of the core, and back."""

from __future__ import annotations

from dataclasses import asdict

from sqlalchemy import true
from sqlmodel import Session, col, select

from fate.core import choice as core
from fate.core.sampling import SamplerSettings
from fate.store import tables
from fate.store.tensors import pack_outputs, unpack_inputs, unpack_outputs


def decisions_on(session: Session, choice_id: str, *, review: bool = True) -> list[core.Decision]:
    """All that was said of a choice, in the order of time; with or without reviews."""
    return [
        core.Decision(
            kind=row.kind,  # type: ignore[arg-type]  # the column is text
            candidate_id=row.candidate_id,
            milliseconds=row.milliseconds,
            annotator=name,
            blind=row.blind,
            review=row.review,
            reason=reason,  # type: ignore[arg-type]  # like the kind
        )
        for row, name, reason in session.exec(
            select(tables.Decision, tables.Annotator.name, tables.Reason.word)
            .join(tables.Annotator, col(tables.Annotator.id) == tables.Decision.annotator_id)
            .join(tables.Reason, col(tables.Reason.decision_id) == tables.Decision.id, isouter=True)
            .where(tables.Decision.choice_id == choice_id)
            .where(true() if review else col(tables.Decision.review).is_(False))
            .order_by(col(tables.Decision.created_at), col(tables.Decision.id))
        )
    ]


def _standing(session: Session, choice_id: str) -> tuple[core.Decision, ...]:
    """The latest decision of each annotator, in the order of time."""
    latest: dict[str, core.Decision] = {}
    for decision in decisions_on(session, choice_id):
        latest.pop(decision.annotator, None)
        latest[decision.annotator] = decision
    return tuple(latest.values())


def candidate_row(choice_id: str, candidate: core.Candidate) -> tables.Candidate:
    """What is kept of a candidate that a model wrote."""
    written = candidate.written
    return tables.Candidate(
        id=candidate.id,
        choice_id=choice_id,
        origin="generated",
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
        finish_reason=written.finish_reason,
        milliseconds=written.milliseconds,
    )


def settings_of(row: tables.Candidate) -> SamplerSettings:
    """The settings that a text was drawn with; one by hand has none."""
    return SamplerSettings(**{name: getattr(row, name) for name in SamplerSettings.__dataclass_fields__})


def _candidate_value(row: tables.Candidate) -> core.Candidate:
    """A candidate that a model wrote, of which nothing is null."""
    fields = row.model_dump()
    tensors = unpack_outputs(fields["output_tensors"])
    written = core.Continuation(
        settings=settings_of(row),
        seed=fields["seed"],
        text=row.text,
        output_ids=tuple(int(token) for token in tensors["output_ids"]),
        kept=fields["kept"],
        uniforms=tensors["uniforms"],
        logprobs=tensors["logprobs"],
        warped_logprobs=tensors["warped_logprobs"],
        finish_reason=fields["finish_reason"],
        milliseconds=fields["milliseconds"],
    )
    own = {name: fields[name] for name in ("id", "slot", "position", "shown", "policy", "log_density")}
    return core.Candidate(**own, written=written)


def choice_value(session: Session, row: tables.Choice) -> core.Choice:
    """A choice with its candidates and what stands of it."""
    candidates = session.exec(
        select(tables.Candidate).where(tables.Candidate.choice_id == row.id).order_by(col(tables.Candidate.position))
    ).all()
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
        candidates=tuple(_candidate_value(c) for c in candidates if c.origin == "generated"),
        by_hand=tuple(core.ByHand(c.id, c.text, c.draft_id) for c in candidates if c.origin != "generated"),
        decisions=_standing(session, row.id),
        revealed=row.revealed,
    )
