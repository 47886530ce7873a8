"""A choice, its candidates, what was decided, and the preferences that follow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from fate.core.sampling import SamplerSettings

DecisionKind = Literal["chosen", "edited", "written", "tie", "none_good", "undone", "auto"]
Reason = Literal["plot", "style", "character", "surprise", "coherence"]
FinishReason = Literal["sentence", "length", "eos", "cancelled"]

REASONS: tuple[Reason, ...] = get_args(Reason)
EXPLAINED: tuple[DecisionKind, ...] = ("chosen", "edited", "none_good")  # decisions that can have a reason
UNJUDGED: tuple[DecisionKind, ...] = ("undone", "auto")  # decisions that judge nothing


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What wrote the candidates and how it ran: two choices with the same ``id`` ran alike."""

    id: str  # sha256 over all that follows, but the name and the licence
    name: str  # folder name or hub id
    architecture: str
    weights_sha256: str
    tokenizer_sha256: str  # of its files, and of the chat template where one stands before stories
    precision: str
    device: str
    threads: int
    versions: str  # JSON: library → version; and under products, whose code multiplied with the weights
    license: str | None = None  # as the model's card states it


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
class ByHand:
    """A continuation that the reader wrote, alone or over a candidate: its draft."""

    id: str
    text: str
    draft_id: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What an annotator said of a choice.

    ``chosen`` takes a candidate as it is, ``edited`` and ``written`` take a text by hand; ``tie`` and ``none_good``
    take nothing; ``undone`` withdraws what the same annotator said before. ``auto`` takes a candidate that no reader
    chose, where fate writes by itself: no preference follows from it.
    """

    kind: DecisionKind
    candidate_id: str | None  # what the story goes on with
    milliseconds: int  # from the moment the candidates took keys
    annotator: str
    blind: bool  # whether the parameters were hidden
    review: bool = False  # said of an old choice, not while the story was played
    reason: Reason | None = None  # of what was taken, its strength; of "none good", what was missing


@dataclass(frozen=True, slots=True)
class Choice:
    """One decision point: a prompt and the candidates offered after it."""

    id: str
    story_id: str
    parent_id: str | None  # the candidate this one continues; None after the opening
    step: int  # choices on the path before this one
    prompt: str  # the story in prompt_ids, without a chat template
    prompt_ids: tuple[int, ...]
    cached_tokens: int  # prompt tokens whose keys and values were kept from the choice before
    model: ModelInfo
    candidates: tuple[Candidate, ...]
    by_hand: tuple[ByHand, ...] = ()
    decisions: tuple[Decision, ...] = ()  # the one of each annotator that stands, in the order of time
    revealed: bool = False  # whether its parameters were ever shown; who answers then is not blind

    @property
    def decision(self) -> Decision | None:
        """What was said last."""
        return self.decisions[-1] if self.decisions else None


class Text(NamedTuple):
    """What a preference is between: the words of a candidate, or of a text by hand."""

    id: str
    text: str
    draft_id: str | None = None
    by_hand: bool = False


def pairs(kind: str, candidate_id: str | None, texts: Sequence[Text]) -> Iterator[tuple[Text, Text]]:
    """(chosen, rejected) as it follows from a decision on what was offered.

    A chosen candidate is preferred to every other that the model wrote, and an edit to its draft. A text by hand was
    never weighed against the candidates, and nothing follows from a tie. Texts that read alike are no pair.
    """
    chosen = next((t for t in texts if t.id == candidate_id), None)
    if chosen is None or kind not in ("chosen", "edited"):
        return
    for other in texts:
        passed_over = not other.by_hand if kind == "chosen" else other.id == chosen.draft_id
        if passed_over and other.text != chosen.text:
            yield chosen, other


def unpaired(kind: str, candidate_id: str | None, texts: Sequence[Text]) -> Iterator[tuple[Text, bool]]:
    """(text, liked) as it follows from a decision: what was taken is liked, what was passed over for it is not.

    Of "none good" every candidate is disliked, and of what fate took by itself nothing is known.
    """
    if kind == "auto":
        return
    if kind == "none_good":
        yield from ((t, False) for t in texts if not t.by_hand)
        return
    taken = next((t for t in texts if t.id == candidate_id), None)
    if taken is not None:
        yield taken, True
        yield from ((rejected, False) for _, rejected in pairs(kind, candidate_id, texts))
