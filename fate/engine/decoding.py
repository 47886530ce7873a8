"""The decode loop: several rows from one prefill, each with its own settings and random stream."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

import torch
from transformers import DynamicCache

from fate.core.choice import Continuation, FinishReason, ModelInfo
from fate.core.sampling import SamplerSettings
from fate.core.story import ends_sentence
from fate.engine.spelling import decode, text_after
from fate.engine.warping import Warper, inverse_cdf

_HALF = "\ufffd"  # what an unfinished UTF-8 character decodes to


class Engine:
    """A causal language model that writes continuations of a prompt.

    What it has read (keys and values) is kept from one generation to the next: a prompt that begins
    like any row of the last batch costs only the tokens that follow the common beginning.

    Args:
        model: a transformers causal LM in evaluation mode.
        tokenizer: its tokenizer.
        info: what to record about both.
        context: the most tokens that a prompt and its continuation may have together.
    """

    def __init__(self, model: Any, tokenizer: Any, info: ModelInfo, context: int) -> None:
        self.info = info
        self.context = context
        self.model = model
        self.tokenizer = tokenizer
        self.eos_ids = _eos_ids(model, tokenizer)
        self.cache: Any = None
        self.read: list[list[int]] = []  # for each row of the cache, the tokens in it

    def encode(self, text: str) -> tuple[int, ...]:
        """Token ids of a text, after the model's own start token if it has one.

        What looks like a special token in the text is spelled out, and no end token follows it.
        """
        ids = self.tokenizer(text, split_special_tokens=True)["input_ids"]
        while len(ids) > 1 and ids[-1] in self.eos_ids:
            ids = ids[:-1]
        return tuple(ids)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, without special tokens; exactly as generated, no space tidied."""
        return decode(self.tokenizer, ids)

    def generate(
        self, prompt_ids: Sequence[int], settings: Sequence[SamplerSettings], seeds: Sequence[int]
    ) -> Generation:
        """One row for each of ``settings``; read the prompt at once, write when stepped.

        Raises ValueError where the prompt is empty, or leaves no room for what is to be written.
        """
        longest = max(s.max_new_tokens for s in settings)
        if not 0 < len(prompt_ids) <= self.context - longest:
            raise ValueError(
                f"the prompt must have between 1 and {self.context - longest} tokens "
                f"(context {self.context}, {longest} to write), not {len(prompt_ids)}"
            )
        return Generation(self, tuple(prompt_ids), settings, seeds)

    @torch.inference_mode()
    def prefill(self, prompt_ids: tuple[int, ...], rows: int) -> tuple[torch.Tensor, int]:
        """Scores after the prompt, (1, vocabulary), and how many of its tokens were read before.

        Leaves the cache holding the prompt in each of ``rows`` rows.
        """
        cached = self._keep_common(prompt_ids)
        unread = torch.tensor([prompt_ids[cached:]], device=self.model.device)
        scores = self._forward(unread)
        self.cache.batch_repeat_interleave(rows)
        self.read = [list(prompt_ids) for _ in range(rows)]
        return scores, cached

    @torch.inference_mode()
    def advance(self, tokens: torch.Tensor) -> torch.Tensor:
        """Scores (rows, vocabulary) after one more token in each row; ``tokens`` is (rows, 1)."""
        read, self.read = self.read, []
        scores = self._forward(tokens)
        self.read = read
        for row, token in zip(self.read, tokens[:, 0].tolist(), strict=True):
            row.append(token)
        return scores

    def _forward(self, tokens: torch.Tensor) -> torch.Tensor:
        out = self.model(input_ids=tokens, past_key_values=self.cache, use_cache=True, logits_to_keep=1)
        scores: torch.Tensor = out.logits[:, -1]
        return scores

    def _keep_common(self, prompt_ids: tuple[int, ...]) -> int:
        """Cut the cache to the one row that shares the longest beginning with the prompt."""
        # The prompt's last token is always read again: its scores are what the first tokens come from.
        common, row = max(
            ((_common_prefix(read, prompt_ids[:-1]), row) for row, read in enumerate(self.read)), default=(0, 0)
        )
        read, self.read = self.read, []  # whatever fails from here on, no row is taken for read
        if common and all(_can_be_cut(layer, len(read[row])) for layer in self.cache.layers):
            self.cache.batch_select_indices(torch.tensor([row], device=self.model.device))
            self.cache.crop(common - len(read[row]))
            return common
        self.cache = DynamicCache(config=self.model.config)
        return 0


class Generation:
    """Rows being written after one prompt: ``step()`` until ``done``, read ``rows`` at any time."""

    def __init__(
        self, engine: Engine, prompt_ids: tuple[int, ...], settings: Sequence[SamplerSettings], seeds: Sequence[int]
    ) -> None:
        self._began = time.monotonic()
        self._engine = engine
        self._warper = Warper(settings, engine.model.device)
        self._streams = [Random(seed) for seed in seeds]
        self._paragraph = engine.decode(prompt_ids).rpartition("\n")[2]
        self.prompt_ids = prompt_ids
        self.rows = [Continuation(s, seed) for s, seed in zip(settings, seeds, strict=True)]
        scores, self.cached_tokens = engine.prefill(prompt_ids, len(self.rows))
        self._scores = scores.expand(len(self.rows), -1)
        self._tokens: torch.Tensor | None = None  # the last sampled tokens, which the model has not read

    @property
    def done(self) -> bool:
        return all(row.finish_reason for row in self.rows)

    @torch.inference_mode()
    def step(self) -> None:
        """Write one more token in every unfinished row."""
        if self.done:
            return
        if self._tokens is not None:
            self._scores = self._engine.advance(self._tokens)
        uniforms = [stream.random() for stream in self._streams]
        t = max(len(row.output_ids) for row in self.rows)
        logprobs, ranked = self._warper(self._scores, t)
        columns = inverse_cdf(logprobs, torch.tensor(uniforms, dtype=torch.float64, device=logprobs.device))
        self._tokens = ranked.gather(-1, columns)
        raw = self._scores.float()
        raw = raw.gather(-1, self._tokens) - raw.logsumexp(-1, keepdim=True)
        drawn = zip(
            self._tokens[:, 0].tolist(),
            uniforms,
            raw[:, 0].tolist(),
            logprobs.gather(-1, columns)[:, 0].tolist(),
            strict=True,
        )
        # A finished row goes on in the batch, unseen: its neighbours' arithmetic must not depend on it.
        self.rows = [
            row if row.finish_reason else self._extended(row, *values)
            for row, values in zip(self.rows, drawn, strict=True)
        ]

    def cancel(self) -> None:
        """Finish every row where it is."""
        self.rows = [row if row.finish_reason else self._finished(row, "cancelled") for row in self.rows]

    def _extended(self, row: Continuation, token: int, uniform: float, raw: float, warped: float) -> Continuation:
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
        text = self._text(row.output_ids)
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
        text = self._text(row.output_ids[:kept])
        while text.endswith(_HALF) and kept:  # never keep half a character
            kept -= 1
            text = self._text(row.output_ids[:kept])
        milliseconds = round((time.monotonic() - self._began) * 1000)
        return replace(row, kept=kept, text=text, finish_reason=reason, milliseconds=milliseconds)

    def _text(self, ids: Sequence[int]) -> str:
        return text_after(self._engine.tokenizer, self.prompt_ids, ids)


def _can_be_cut(layer: Any, length: int) -> bool:
    """Whether a cache layer of this length can lose its last tokens: a full sliding window cannot."""
    return getattr(layer, "is_croppable", False) and not (layer.is_sliding and length >= layer.sliding_window)


def _common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    n = min(len(a), len(b))
    return next((i for i in range(n) if a[i] != b[i]), n)


def _eos_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    ids: set[int] = set()
    for source in (tokenizer.eos_token_id, model.config.eos_token_id, model.generation_config.eos_token_id):
        ids.update(source if isinstance(source, list) else [] if source is None else [source])
    return frozenset(ids)
