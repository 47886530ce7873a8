"""The decode loop: rows from one or several prompts, each with its own settings and random stream."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from random import Random
from types import MappingProxyType
from typing import Any, Protocol

import torch

from fate.core.choice import Continuation, FinishReason, ModelInfo
from fate.core.picking import Picker
from fate.core.sampling import SamplerSettings
from fate.core.story import ends_sentence, prompt_window
from fate.engine.native import NativeDraws
from fate.engine.prompting import Preamble
from fate.engine.spelling import TextAfter, decode
from fate.engine.warping import Warper

_HALF = "\ufffd"  # what an unfinished UTF-8 character decodes to


class Decoder(Protocol):
    """What scores the next tokens of several rows; what it has read stays read from one ``begin`` to the next."""

    device: torch.device
    several: bool  # can begin with more than one prompt

    @property
    def keeps(self) -> bool:
        """Whether it reads what prompts begin with alike only once."""

    def begin(
        self,
        prompts: Sequence[tuple[int, ...]],
        rows: int,
        room: int,
        stem: int | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> tuple[torch.Tensor, list[int]]:
        """Read prompts, and stand ready to write ``rows`` rows of up to ``room`` tokens after each.

        The first ``stem`` tokens, or as many as all prompts share, may be kept apart from those that follow; the last
        bits of scores can depend on how many these are.

        Returns the scores after each prompt, (prompts, vocabulary), and how many tokens of each had been
        read before. Raises StoppedError where ``stop``, which is asked again and again while prompts are read, says so.
        """

    def save(self, prompt: tuple[int, ...], stem: int | None) -> Any:
        """How it stands, to be restored after it has begun with such prompts: this one, and others with its stem."""

    def restore(self, before: Any) -> None:
        """Stand again as it was saved; the next ``begin`` may know what was read since then."""

    def advance(
        self, tokens: Sequence[int], draws: NativeDraws | None = None, rows: Sequence[int] | None = None
    ) -> torch.Tensor:
        """Scores (rows, vocabulary) after one more token in each row, or in each of these ``rows``.

        Rows that were left out once are finished: they stay as they are, and no other depends on them. From the
        scores it may draw at once, by what stands ready for that, so that ``draws.drawn`` is there.
        """

    def keep(self, rows: slice) -> None:
        """Go on with some of the rows only."""

    def forget(self) -> None:
        """Let go of all that was read."""


class Engine:
    """A causal language model that writes continuations of a prompt.

    Args:
        decoder: the model.
        tokenizer: its tokenizer.
        info: what to record about both.
        context: the most tokens that a prompt and its continuation may have together.
        eos_ids: the tokens that end a text.
        preamble: what stands before a story.
        sampler: the fields of SamplerSettings that suit the model, where nothing else is set.
    """

    def __init__(
        self,
        decoder: Decoder,
        tokenizer: Any,
        info: ModelInfo,
        context: int,
        eos_ids: Collection[int],
        preamble: Preamble | None = None,
        sampler: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.decoder = decoder
        self.tokenizer = tokenizer
        self.info = info
        self.context = context
        self.eos_ids = frozenset(eos_ids)
        self.preamble = preamble or Preamble()
        self.sampler = sampler
        self.writing: Batch | None = None  # whose rows the decoder stands in
        self.begun = 0  # how often it has begun, other than ahead
        self._before: Any = None  # how the decoder stood before it began ahead
        self._taken: slice | None = None  # see ``take``; the rest is let go when there is time

    @property
    def several(self) -> bool:
        """Whether ``generate_each`` takes more than one prompt."""
        return self.decoder.several

    @property
    def keeps(self) -> bool:
        """Whether prompts that begin alike are read from where they part."""
        return self.decoder.keeps

    def encode(self, text: str) -> tuple[int, ...]:
        """Token ids of a story, after what has to stand before one.

        What looks like a special token in the text is spelled out, and no end token follows it.
        """
        ids = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        return (*self.preamble.start, *ids)

    def window(self, ids: Sequence[int], room: int) -> tuple[int, ...]:
        """As much of an encoded story's end as leaves ``room`` tokens of the context."""
        return prompt_window(ids, self.context - room, self.preamble.kept)

    def story(self, prompt_ids: Sequence[int]) -> str:
        """The text of the story in a prompt."""
        return self.decode(self.preamble.story(prompt_ids))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, without special tokens; exactly as generated, no space tidied."""
        return decode(self.tokenizer, ids)

    def begin(
        self,
        prompts: Sequence[tuple[int, ...]],
        rows: int,
        room: int,
        stem: int | None,
        stop: Callable[[], bool] | None,
    ) -> tuple[torch.Tensor, list[int]]:
        """See ``Decoder.begin``; what was being written cannot go on.

        With a ``stop`` it is begun ahead: that changes nothing for what is begun after it, unless it is taken
        (``Generation.take``).
        """
        self.writing = None
        if self._taken is not None:
            self.decoder.keep(self._taken)
        elif self._before is not None:
            self.decoder.restore(self._before)
        self._taken = self._before = None
        if stop is not None:
            self._before = self.decoder.save(prompts[0], stem)
        else:
            self.begun += 1
        return self.decoder.begin(prompts, rows, room, stem, stop)

    def forget(self) -> None:
        """Let go of all that was read."""
        self.writing = self._before = self._taken = None
        self.decoder.forget()

    def take(self, rows: slice | None) -> None:
        """What was begun ahead is what was begun; of several rows some."""
        self._before, self._taken = None, rows
        self.begun += 1

    def generate(
        self,
        prompt_ids: Sequence[int],
        settings: Sequence[SamplerSettings],
        seeds: Sequence[int],
        stem: int | None = None,
    ) -> Generation:
        """A candidate for each of ``settings``; read the prompt at once, write when stepped. See ``Decoder.begin``.

        Raises ValueError where the prompt is empty, or leaves no room for what is to be written.
        """
        return self.generate_each([prompt_ids], [settings], [seeds], stem).generations[0]

    def generate_each(
        self,
        prompts: Sequence[Sequence[int]],
        settings: Sequence[Sequence[SamplerSettings]],
        seeds: Sequence[Sequence[int]],
        stem: int | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> Batch:
        """As ``generate``, after each of several prompts at once, equally many texts for each; see ``begin``.

        A row comes out as it would alone. Only an engine that takes ``several`` prompts takes more than one. Raises
        StoppedError where ``stop``, with which it is begun ahead, says so before the prompts are read.
        """
        longest = max(s.max_new_tokens for each in settings for s in each)
        for prompt in prompts:
            if not 0 < len(prompt) <= self.context - longest:
                raise ValueError(
                    f"the prompt must have between 1 and {self.context - longest} tokens "
                    f"(context {self.context}, {longest} to write), not {len(prompt)}"
                )
        return Batch(self, [tuple(prompt) for prompt in prompts], settings, seeds, stem, stop)


class Batch:
    """Rows after one or several prompts, written a token at a time, all of them until they are finished."""

    def __init__(
        self,
        engine: Engine,
        prompts: Sequence[tuple[int, ...]],
        settings: Sequence[Sequence[SamplerSettings]],
        seeds: Sequence[Sequence[int]],
        stem: int | None,
        stop: Callable[[], bool] | None,
    ) -> None:
        self._engine = engine
        began = time.monotonic()
        self.generations = [
            Generation(self, engine, prompt, s, seed, began)
            for prompt, s, seed in zip(prompts, settings, seeds, strict=True)
        ]
        self._rows_each = len(self.generations[0].streams)
        if any(len(generation.streams) != self._rows_each for generation in self.generations):
            raise ValueError("every prompt needs as many texts as the others")
        self._unfinished: list[int] = []  # the rows that the warper is for
        room = max(s.max_new_tokens for each in settings for s in each)
        scores, cached = engine.begin(prompts, self._rows_each, room, stem, stop)
        engine.writing = self
        for generation, tokens in zip(self.generations, cached, strict=True):
            generation.cached_tokens = tokens
        self._scores = scores.repeat_interleave(self._rows_each, 0)
        self._unread: dict[int, int] = {}  # the last token of each row; none before the first step
        self._written = 0  # tokens in each unfinished row

    def _leave_finished(self) -> None:
        """Go on with the rows that are unfinished."""
        rows = [row for generation in self.generations for texts in generation.texts for row in texts]
        now = [i for i, row in enumerate(rows) if not row.finish_reason]
        if now != self._unfinished:
            compiled = self._engine.decoder.device.type == "cpu"
            self._unfinished, self._warper = now, Warper([rows[i].settings for i in now], compiled=compiled)

    @property
    def done(self) -> bool:
        return all(generation.done for generation in self.generations)

    @torch.inference_mode()
    def step(self) -> None:
        """Write one more token in every unfinished row.

        Raises RuntimeError once the engine has begun with something else.
        """
        if self.done:
            return
        if self._engine.writing is not self:
            raise RuntimeError("the engine has begun with something else")
        self._engine.writing = None  # where something fails from here on, this cannot go on
        self._leave_finished()
        streams = [stream for generation in self.generations for stream in generation.streams]
        uniforms = [streams[row].random() for row in self._unfinished]
        drawn = None
        if self._unread:
            draws = self._warper.at(self._written, uniforms)
            tokens = [self._unread[row] for row in self._unfinished]
            self._scores = self._engine.decoder.advance(tokens, draws, self._unfinished)
            drawn = draws.drawn if draws is not None else None
        else:
            self._scores = self._scores[self._unfinished]
        if drawn is None:
            drawn = self._warper.draw(self._scores, self._possible(), self._written, uniforms)
        self._written += 1
        both = zip(uniforms, drawn, strict=True)
        for generation in self.generations:  # each takes what is its own, in the order of the rows
            generation.extend(both)
        self._unread = {row: token for row, (token, _, _) in zip(self._unfinished, drawn, strict=True)}
        self._engine.writing = self

    def _possible(self) -> torch.Tensor:
        """The scores, of which those of end tokens are −inf at first: nobody is offered nothing.

        It is transformers' ``min_new_tokens=1``. No ending is lost by that: a row ends where an end token follows its
        sentence, so that the story may end here was drawn for before, or a reader wants to go on past its end.
        """
        if self._written or not self._engine.eos_ids:
            return self._scores
        ends = torch.tensor(sorted(self._engine.eos_ids), device=self._scores.device)
        return self._scores.index_fill(-1, ends, -torch.inf)

    def keep(self, generation: Generation) -> None:
        """Go on with one generation only."""
        rows = self.rows_of(generation)
        if rows is None:
            return
        self._engine.decoder.keep(rows)
        if not self._unread:
            self._scores = self._scores[rows]
        self._unread = {row - rows.start: token for row, token in self._unread.items() if rows.start <= row < rows.stop}
        self.generations, self._unfinished = [generation], []  # the rows are others now

    def rows_of(self, generation: Generation) -> slice | None:
        """The decoder's rows that are one generation's; None where it has no others, or none of these any more."""
        if self.generations == [generation] or self._engine.writing is not self:
            return None
        at = self.generations.index(generation)
        return slice(at * self._rows_each, (at + 1) * self._rows_each)


class Generation:
    """Candidates being written after one prompt: ``step()`` until ``done``, read ``rows`` at any time.

    Attributes:
        texts: all that is written for each candidate, ``SamplerSettings.best_of`` texts, one in each row of the batch.
    """

    def __init__(
        self,
        batch: Batch,
        engine: Engine,
        prompt_ids: tuple[int, ...],
        settings: Sequence[SamplerSettings],
        seeds: Sequence[int],
        began: float,
    ) -> None:
        self._batch = batch
        self._engine = engine
        self._began = began
        before = engine.decode(prompt_ids)
        self._paragraph = before.rpartition("\n")[2]
        self._picker = Picker(before)
        self._text_after = TextAfter(engine.tokenizer, prompt_ids)
        self.streams = [
            Random(f"{seed} {n}" if n else seed)
            for s, seed in zip(settings, seeds, strict=True)
            for n in range(s.best_of)
        ]
        self.prompt_ids = prompt_ids
        self.cached_tokens = 0
        self.texts = [[Continuation(s, seed)] * s.best_of for s, seed in zip(settings, seeds, strict=True)]

    @property
    def rows(self) -> list[Continuation]:
        """The candidates: of several texts the best once it is known; until then the first, as if unfinished."""
        rows: list[Continuation] = []
        for slot, texts in enumerate(self.texts):
            if len(texts) == 1:
                rows += texts
            elif self._known(slot):
                rows.append(self._picker.pick(texts, [row.text for row in rows]))
            else:
                rows.append(replace(texts[0], finish_reason=None))
        return rows

    def _known(self, slot: int) -> bool:
        """Whether all texts of a candidate are written; and of those before it, which the best of several is unlike."""
        first = 0 if len(self.texts[slot]) > 1 else slot
        return all(map(_complete, self.texts[first : slot + 1]))

    @property
    def done(self) -> bool:
        return all(map(_complete, self.texts))

    @property
    def goes_on(self) -> bool:
        """Whether it can be gone on with: the engine has not begun anew, or it is complete and that does not matter."""
        return self._engine.writing is self._batch or (self.done and not self._engine.several)

    def take(self) -> None:
        """Go on with what was begun ahead; what was begun beside it is let go."""
        if not self.done:
            self._batch.keep(self)
        self._engine.take(self._batch.rows_of(self))

    def step(self) -> None:
        """Write one more token in every unfinished text; those of other prompts beside it are let go."""
        if not self.done:
            self._batch.keep(self)
            self._batch.step()

    def extend(self, drawn: Iterator[tuple[float, tuple[int, float, float]]]) -> None:
        """Take in what was drawn in each unfinished row: its uniform; the token and its two log-probabilities."""
        self.texts = [
            [row if row.finish_reason else self._extended(row, *next(drawn)) for row in texts] for texts in self.texts
        ]

    def cancel(self) -> None:
        """Finish every candidate where it is shown to be: one of several texts that is not known yet, at its first."""
        self.texts = [
            texts if self._known(slot) else [self._finished(texts[0], "cancelled")] * len(texts)
            for slot, texts in enumerate(self.texts)
        ]

    def _extended(self, row: Continuation, uniform: float, drawn: tuple[int, float, float]) -> Continuation:
        token, raw, warped = drawn
        before = row
        row = replace(
            row,
            output_ids=(*row.output_ids, token),
            uniforms=(*row.uniforms, uniform),
            logprobs=(*row.logprobs, raw),
            warped_logprobs=(*row.warped_logprobs, warped),
        )
        if token in self._engine.eos_ids:
            return self._finished(row, "eos", kept=before.kept)
        text = self._text_after(row.output_ids)
        turn = text.find(self._engine.preamble.turn) if self._engine.preamble.turn else -1
        if turn >= 0:
            kept = before.kept
            while len(self._text_after(row.output_ids[:kept])) > turn:
                kept -= 1
            return self._finished(row, "eos", kept)
        row = replace(row, kept=len(row.output_ids), text=text)
        if before.kept >= row.settings.min_new_tokens and ends_sentence(
            self._paragraph + before.text, text[len(before.text) :]
        ):
            return self._finished(row, "sentence", kept=before.kept)
        if len(row.output_ids) == row.settings.max_new_tokens:
            return self._finished(row, "length")
        return row

    def _finished(self, row: Continuation, reason: FinishReason, kept: int | None = None) -> Continuation:
        kept = row.kept if kept is None else kept
        text = self._text_after(row.output_ids[:kept])
        while text.endswith(_HALF) and kept:  # never keep half a character
            kept -= 1
            text = self._text_after(row.output_ids[:kept])
        milliseconds = round((time.monotonic() - self._began) * 1000)
        return replace(row, kept=kept, text=text, finish_reason=reason, milliseconds=milliseconds)


def _complete(texts: Sequence[Continuation]) -> bool:
    return all(row.finish_reason for row in texts)
