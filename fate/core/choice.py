"""A choice, its candidates, what was decided, and the preference pairs that follow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from fate.core.sampling import SamplerSettings

DecisionKind = Literal["chosen", "none_good", "undone"]
FinishReason = Literal["sentence", "length", "eos", "cancelled"]


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What wrote the candidates and how it ran: two choices with the same ``id`` ran alike."""

    id: str  # sha256 over all that follows, but the name
    name: str  # folder name or hub id
    architecture: str
    weights_sha256: str
    tokenizer_sha256: str
    precision: str
    device: str
    threads: int
    versions: str  # JSON: library → version


@dataclass(frozen=True, slots=True)
class Continuation:
    """What the engine wrote after a prompt, in one row of its batch."""

    settings: SamplerSettings
    seed: int
    text: str = ""
    output_ids: tuple[int, ...] = ()  # all generated tokens
    kept: int = 0  # how many of them the text holds
    uniforms: tuple[float, ...] = ()  # one in [0, 1) for each generated token
    logprobs: tuple[float, ...] = ()  # of each token under the raw model
    warped_logprobs: tuple[float, ...] = ()  # of each token under the distribution it was drawn from
    finish_reason: FinishReason | None = None  # None while it is being written
    milliseconds: int = 0  # from the start of the prefill to the row's last token

    @property
    def kept_ids(self) -> tuple[int, ...]:
        return self.output_ids[: self.kept]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One offered continuation, with where its settings came from."""

    id: str
    slot: int  # row in the engine's batch
    position: int  # place on the screen, from 0
    shown: bool  # whether it was on a screen at all
    policy: str
    log_density: float
    written: Continuation


@dataclass(frozen=True, slots=True)
class Decision:
    """What an annotator said of a choice."""

    kind: DecisionKind
    candidate_id: str | None
    milliseconds: int  # from the moment the candidates took keys
    annotator: str
    blind: bool  # whether the parameters were hidden


@dataclass(frozen=True, slots=True)
class Choice:
    """One decision point: a prompt and the candidates offered after it."""

    id: str
    story_id: str
    parent_id: str | None  # the candidate this one continues; None after the opening
    step: int  # choices on the path before this one
    prompt: str  # what prompt_ids decode to
    prompt_ids: tuple[int, ...]
    cached_tokens: int  # prompt tokens whose keys and values were kept from the choice before
    model: ModelInfo
    candidates: tuple[Candidate, ...]
    decision: Decision | None = None  # the one that stands

    def pairs(self) -> Iterator[tuple[Candidate, Candidate]]:
        """(chosen, rejected) for every candidate that was passed over; nothing without a choice.

        A candidate that reads like the chosen one was not passed over.
        """
        if self.decision is None or self.decision.kind != "chosen":
            return
        chosen = next(c for c in self.candidates if c.id == self.decision.candidate_id)
        for candidate in self.candidates:
            if candidate.written.text != chosen.written.text:
                yield chosen, candidate
