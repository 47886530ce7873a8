"""Write stored candidates again, and say whether they come out the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fate.core.choice import Candidate, Choice, Continuation

if TYPE_CHECKING:
    from fate.engine import Engine


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
    # In the rows of the first time: a row's place in the batch can change the last bits of its arithmetic.
    candidates = sorted(choice.candidates, key=lambda candidate: candidate.slot)
    stored = [candidate.written for candidate in candidates]
    generation = engine.generate(choice.prompt_ids, [w.settings for w in stored], [w.seed for w in stored])
    for _ in range(max((len(written.output_ids) for written in stored), default=0)):
        generation.step()
    for candidate, again in zip(candidates, generation.rows, strict=True):
        matched = _matching(candidate.written, again)
        pairs = zip(candidate.written.logprobs[:matched], again.logprobs[:matched], strict=True)
        difference = max((abs(a - b) for a, b in pairs), default=0.0)
        alike = candidate.written.finish_reason in ("cancelled", again.finish_reason)
        yield Replayed(choice, candidate, matched, difference, alike, choice.model.id == engine.info.id)


def _matching(stored: Continuation, again: Continuation) -> int:
    both = zip(stored.output_ids, again.output_ids, strict=False)
    shorter = min(len(stored.output_ids), len(again.output_ids))
    return next((i for i, (a, b) in enumerate(both) if a != b), shorter)
