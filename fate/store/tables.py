"""The tables. Changing one needs a migration in ``migrations/versions``."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index
from sqlmodel import Field, SQLModel


class Story(SQLModel, table=True):
    """A tree of choices that starts from an opening."""

    __tablename__ = "story"

    id: str = Field(primary_key=True)
    title: str
    opening: str
    # The candidate the reader's path ends with; null at the opening. The path is found by walking
    # up from it: candidate → its choice → that choice's parent.
    tip_id: str | None = Field(default=None, sa_column=Column(ForeignKey("candidate.id", use_alter=True)))
    state: str = Field(default="active", sa_column_kwargs={"server_default": "active"})  # active, archived, deleted
    created_at: str  # ISO 8601 in UTC with microseconds, like every time here, so that text sorts as time
    played_at: str


class Model(SQLModel, table=True):
    """What wrote candidates, and how it ran; the columns of ``ModelInfo``."""

    __tablename__ = "model"

    id: str = Field(primary_key=True)
    name: str
    architecture: str
    weights_sha256: str
    tokenizer_sha256: str
    precision: str
    device: str
    threads: int
    versions: str
    license: str | None = None  # as the model's card states it


class Annotator(SQLModel, table=True):
    """Who decides. The name is the reader's own choice and is published with the dataset."""

    __tablename__ = "annotator"

    id: str = Field(primary_key=True)
    name: str = Field(unique=True)


class Choice(SQLModel, table=True):
    """A prompt after which candidates were offered."""

    __tablename__ = "choice"
    __table_args__ = (Index("ix_choice_created_at_id", "created_at", "id"),)

    id: str = Field(primary_key=True)
    story_id: str = Field(foreign_key="story.id", index=True)
    parent_id: str | None = Field(
        default=None, sa_column=Column(ForeignKey("candidate.id", use_alter=True), index=True)
    )
    step: int
    prompt: str  # the story in input_ids, without a chat template
    input_tensors: bytes  # safetensors: input_ids, attention_mask; int64, (1, n)
    cached_tokens: int
    model_id: str = Field(foreign_key="model.id")
    revealed: bool = Field(default=False, sa_column_kwargs={"server_default": "0"})  # how it was sampled was shown
    created_at: str


class Candidate(SQLModel, table=True):
    """One continuation with all that produced it; of a text by hand, that is its draft at most."""

    __tablename__ = "candidate"

    id: str = Field(primary_key=True)
    choice_id: str = Field(foreign_key="choice.id", index=True)
    origin: str  # generated, edited or written
    draft_id: str | None = Field(default=None, foreign_key="candidate.id")  # what an edited one was edited from
    slot: int | None = None
    position: int | None = None
    shown: bool
    text: str
    # From here on, all is null in a text by hand.
    temperature: float | None = None
    top_k: int | None = None
    typical_p: float | None = None
    muse_top_k: int | None = None
    muse_damp: float | None = None
    muse_damp_initial: float | None = None
    muse_damp_ramp_tokens: int | None = None
    muse_mode: str | None = None
    min_new_tokens: int | None = None
    max_new_tokens: int | None = None
    best_of: int | None = None
    policy: str | None = None
    log_density: float | None = None
    seed: int | None = None
    output_tensors: bytes | None = None  # safetensors, (n,): output_ids int64; uniforms, logprobs, warped_logprobs f64
    kept: int | None = None
    finish_reason: str | None = None
    milliseconds: int | None = None


class Decision(SQLModel, table=True):
    """What an annotator said of a choice; rows are only ever added, the latest of each annotator stands."""

    __tablename__ = "decision"
    __table_args__ = (Index("ix_decision_choice_id_created_at", "choice_id", "created_at"),)

    id: str = Field(primary_key=True)
    choice_id: str = Field(foreign_key="choice.id")
    candidate_id: str | None = Field(default=None, foreign_key="candidate.id")
    kind: str
    annotator_id: str = Field(foreign_key="annotator.id")
    milliseconds: int
    blind: bool
    review: bool = Field(default=False, sa_column_kwargs={"server_default": "0"})  # said of an old choice
    created_at: str


class Reason(SQLModel, table=True):
    """Why a decision was made, said once, after it."""

    __tablename__ = "reason"

    decision_id: str = Field(primary_key=True, foreign_key="decision.id")
    word: str
