"""An engine without a model: a token is a character, and what it writes is known beforehand."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random
from types import MappingProxyType
from typing import Any

from fate.core.choice import Continuation, FinishReason, ModelInfo
from fate.core.sampling import SamplerSettings
from fate.core.story import prompt_window

TEXTS = (
    " The door opened by itself, and a cold wind came in.",
    ' "Who is there?" asked Anna, but nobody answered her.',
    " Far away a bell rang three times, and then it was still.",
)
NUMBERED = (" One {n}.", " Two {n}.", " Three {n}.")  # no two choices have the same


class FakeEngine:
    """Writes TEXTS a word at a time; ``{n}`` in a text is the number of the generation."""

    keeps, begun = True, 0
    sampler: Mapping[str, Any] = MappingProxyType({})
    warped_logprob = 0.0  # it can write nothing else

    def __init__(
        self,
        texts: Sequence[str] = TEXTS,
        reasons: Sequence[FinishReason] = ("sentence", "sentence", "sentence"),
        context: int = 100_000,
        delay: float = 0,
        several: bool = False,  # whether it writes ahead
    ) -> None:
        self.info = ModelInfo("fake", "fake", "Fake", "w" * 64, "t" * 64, "float32", "cpu", 1, "{}")
        self.texts, self.reasons, self.context, self.delay = texts, reasons, context, delay
        self.several = several
        self.prompts: list[tuple[int, ...]] = []

    def encode(self, text: str) -> tuple[int, ...]:
        return tuple(map(ord, text))

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(map(chr, ids))

    def generate_each(self, prompts, settings, seeds, stem=None, stop=None) -> FakeBatch:
        return FakeBatch([self.generate(*each) for each in zip(prompts, settings, seeds, strict=True)])

    def window(self, ids: Sequence[int], room: int) -> tuple[int, ...]:
        return prompt_window(ids, self.context - room)

    def story(self, prompt_ids: Sequence[int]) -> str:
        return self.decode(prompt_ids)

    def generate(
        self, prompt_ids, settings: Sequence[SamplerSettings], seeds: Sequence[int], stem: int | None = None
    ) -> FakeGeneration:
        self.prompts.append(tuple(prompt_ids))
        return FakeGeneration(self, len(self.prompts), settings, seeds)


class FakeBatch:
    def __init__(self, generations) -> None:
        self.generations = generations

    @property
    def done(self) -> bool:
        return all(generation.done for generation in self.generations)

    def step(self) -> None:
        for generation in self.generations:
            generation.step()


class FakeGeneration:
    goes_on = True

    def take(self) -> None:
        pass

    def __init__(self, engine, number, settings, seeds) -> None:
        self.cached_tokens = 0
        self._engine = engine
        self._texts = [text.format(n=number) for text in engine.texts]
        self.rows = [Continuation(s, seed) for s, seed in zip(settings, seeds, strict=True)]

    @property
    def done(self) -> bool:
        return all(row.finish_reason for row in self.rows)

    def step(self) -> None:
        time.sleep(self._engine.delay)
        self.rows = [
            row if row.finish_reason else self._longer(row, text, reason)
            for row, text, reason in zip(self.rows, self._texts, self._engine.reasons, strict=True)
        ]

    def cancel(self) -> None:
        self.rows = [row if row.finish_reason else replace(row, finish_reason="cancelled") for row in self.rows]

    def _longer(self, row: Continuation, whole: str, reason: FinishReason) -> Continuation:
        space = whole.find(" ", len(row.text) + 1)
        text = whole if space < 0 else whole[:space]
        stream = Random(row.seed)
        return replace(
            row,
            text=text,
            output_ids=tuple(map(ord, text)),
            kept=len(text),
            uniforms=tuple(stream.random() for _ in text),
            logprobs=(-1.0,) * len(text),
            warped_logprobs=(self._engine.warped_logprob,) * len(text),
            finish_reason=reason if text == whole else None,
            milliseconds=7,
        )
