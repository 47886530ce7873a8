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


class Annotator(SQLModel, table=True):
    """Who decides. The name is the reader's own choice and is published with the dataset."""

    __tablename__ = "annotator"

    id: str = Field(primary_key=True)
    name: str = Field(unique=True)


class Choice(SQLModel, table=True):
    """A prompt after which candidates were offered."""

    __tablename__ = "choice"

    id: str = Field(primary_key=True)
    story_id: str = Field(foreign_key="story.id", index=True)
    parent_id: str | None = Field(
        default=None, sa_column=Column(ForeignKey("candidate.id", use_alter=True), index=True)
    )
    step: int
    prompt: str  # what input_ids decode to
    input_tensors: bytes  # safetensors: input_ids, attention_mask; int64, (1, n)
    cached_tokens: int
    model_id: str = Field(foreign_key="model.id")
    created_at: str


class Candidate(SQLModel, table=True):
    """One continuation with all that produced it."""

    __tablename__ = "candidate"

    id: str = Field(primary_key=True)
    choice_id: str = Field(foreign_key="choice.id", index=True)
    slot: int
    position: int
    shown: bool
    text: str
    temperature: float
    top_k: int
    typical_p: float
    muse_top_k: int
    muse_damp: float
    muse_damp_initial: float
    muse_damp_ramp_tokens: int
    muse_mode: str
    min_new_tokens: int
    max_new_tokens: int
    policy: str
    log_density: float
    seed: int
    output_tensors: bytes  # safetensors, (n,): output_ids int64; uniforms, logprobs, warped_logprobs float64
    kept: int
    finish_reason: str
    milliseconds: int


class Decision(SQLModel, table=True):
    """What an annotator said of a choice; rows are only ever added, the latest stands."""

    __tablename__ = "decision"
    __table_args__ = (Index("ix_decision_choice_id_created_at", "choice_id", "created_at"),)

    id: str = Field(primary_key=True)
    choice_id: str = Field(foreign_key="choice.id")
    candidate_id: str | None = Field(default=None, foreign_key="candidate.id")
    kind: str
    annotator_id: str = Field(foreign_key="annotator.id")
    milliseconds: int
    blind: bool
    created_at: str
