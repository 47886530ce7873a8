"""Write stored candidates again: whether they come out the same, and what they would be under other settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fate.core.choice import Candidate, Choice, Continuation
from fate.core.sampling import SamplerSettings

if TYPE_CHECKING:
    from fate.engine import Engine
    from fate.engine.decoding import Generation


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of one candidate.

    ``matched`` counts the tokens, from the first, that are the same as the stored ones; ``difference`` is the
    largest absolute difference of their log-probabilities under the raw model, in nats; ``ended_alike`` says whether
    the text ended for the same reason, or was cut off the first time. ``same_environment`` says whether everything
    was as it had been: weights, tokenizer, precision, device, threads and libraries.
    """

    choice: Choice
    candidate: Candidate
    matched: int
    difference: float
    ended_alike: bool
    same_environment: bool

    @property
    def identical(self) -> bool:
        return self.matched == len(self.candidate.written.output_ids) and self.ended_alike

    def __str__(self) -> str:
        tokens = len(self.candidate.written.output_ids)
        if self.identical:
            said = f"identical, {tokens} tokens"
        elif self.matched < tokens:
            said = f"parted after {self.matched} of {tokens} tokens"
        else:
            said = f"went on after its {tokens} tokens"
        if self.difference or not self.identical:
            said += f", log-probabilities within {self.difference:.1e}"
        return said if self.same_environment else f"{said} (written in another environment)"


def replay(engine: Engine, choice: Choice) -> Iterator[Replayed]:
    """Generate a choice again from its stored prompt, settings and seeds, and compare each candidate.

    A candidate that was cut off is compared as far as it goes. Raises ValueError where the prompt does not fit
    the engine's context.
    """
    candidates, generation = _begin_again(engine, choice, {})
    while not generation.done:
        generation.step()
    for candidate, best, texts in zip(candidates, generation.rows, generation.texts, strict=True):
        again = texts[0] if candidate.written.finish_reason == "cancelled" else best  # see Generation.cancel
        matched = matching(candidate.written, again)
        pairs = zip(candidate.written.logprobs[:matched], again.logprobs[:matched], strict=True)
        difference = max((abs(a - b) for a, b in pairs), default=0.0)
        alike = candidate.written.finish_reason in ("cancelled", again.finish_reason)
        yield Replayed(choice, candidate, matched, difference, alike, choice.model.id == engine.info.id)


def what_if(engine: Engine, choice: Choice, candidate: Candidate, settings: SamplerSettings) -> Iterator[Continuation]:
    """Generate a candidate again from the same random numbers under other settings; yields it as it grows.

    Raises ValueError where prompt and settings do not fit the engine's context.
    """
    candidates, generation = _begin_again(engine, choice, {candidate.id: settings})
    row = candidates.index(candidate)
    first = candidate.written.finish_reason == "cancelled"  # see Generation.cancel

    def again() -> Continuation:
        return generation.texts[row][0] if first else generation.rows[row]

    while not again().finish_reason:
        generation.step()
        if first or settings.best_of == 1 or again().finish_reason:  # until then it can become another text
            yield again()


def matching(stored: Continuation, again: Continuation) -> int:
    """How many tokens, from the first, are the same."""
    both = zip(stored.output_ids, again.output_ids, strict=False)
    shorter = min(len(stored.output_ids), len(again.output_ids))
    return next((i for i, (a, b) in enumerate(both) if a != b), shorter)


def _begin_again(
    engine: Engine, choice: Choice, instead: Mapping[str, SamplerSettings]
) -> tuple[list[Candidate], Generation]:
    """The candidates of a choice in their rows of the first time, and their generation, with some settings changed.

    A row's place in the batch, and what is beside it, can change the last bits of its arithmetic.
    """
    candidates = sorted(choice.candidates, key=lambda candidate: candidate.slot)
    settings = [instead.get(candidate.id, candidate.written.settings) for candidate in candidates]
    return candidates, engine.generate(choice.prompt_ids, settings, [c.written.seed for c in candidates])
