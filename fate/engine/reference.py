"""Any causal language model of transformers, through its own forward pass: slower, and always right."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM, DynamicCache

from fate.core.story import common_prefix


def read_model(folder: Path, dtype: torch.dtype, *, pickle: bool) -> tuple[Any, list[str]]:
    """A causal LM from its folder, and the names of weights that are missing there.

    Raises nearly every kind of exception, depending on what is wrong. Code that comes with a model is never run.
    """
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    model, report = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=dtype,
        trust_remote_code=False,
        use_safetensors=None if pickle else True,
        output_loading_info=True,
    )
    return model, sorted(report["missing_keys"])


class TransformersDecoder:
    """Scores of the next token for several rows after one prompt; see ``decoding.Decoder``.

    Args:
        model: a transformers causal LM in evaluation mode.
    """

    several = False

    def __init__(self, model: Any) -> None:
        self.model = model
        self.device: torch.device = model.device
        self.forget()

    def forget(self) -> None:
        self._cache: Any = None
        self._read: list[list[int]] = []  # for each row of the cache, the tokens in it

    @torch.inference_mode()
    def begin(self, prompts: Sequence[tuple[int, ...]], rows: int, room: int) -> tuple[torch.Tensor, list[int]]:
        (prompt,) = prompts
        cached = self._keep_common(prompt)
        scores = self._forward(torch.tensor([prompt[cached:]], device=self.device))
        self._cache.batch_repeat_interleave(rows)
        self._read = [list(prompt) for _ in range(rows)]
        return scores, [cached]

    @torch.inference_mode()
    def advance(self, tokens: Sequence[int], draws: object = None) -> torch.Tensor:
        read, self._read = self._read, []
        scores = self._forward(torch.tensor(tokens, device=self.device).unsqueeze(1))
        for row, token in zip(read, tokens, strict=True):
            row.append(token)
        self._read = read
        return scores

    @torch.inference_mode()
    def keep(self, rows: slice) -> None:
        self._cache.batch_select_indices(torch.arange(len(self._read), device=self.device)[rows])
        self._read = self._read[rows]

    def _forward(self, tokens: torch.Tensor) -> torch.Tensor:
        out = self.model(input_ids=tokens, past_key_values=self._cache, use_cache=True, logits_to_keep=1)
        scores: torch.Tensor = out.logits[:, -1].float()
        return scores

    def _keep_common(self, prompt_ids: tuple[int, ...]) -> int:
        """Cut the cache to the one row that shares the longest beginning with the prompt."""
        # The prompt's last token is always read again: its scores are what the first tokens come from.
        common, row = max(
            ((common_prefix(read, prompt_ids[:-1]), row) for row, read in enumerate(self._read)), default=(0, 0)
        )
        read, self._read = self._read, []  # whatever fails from here on, no row is taken for read
        if common and all(_can_be_cut(layer, len(read[row])) for layer in self._cache.layers):
            self._cache.batch_select_indices(torch.tensor([row], device=self.device))
            self._cache.crop(common - len(read[row]))
            return common
        self._cache = DynamicCache(config=self.model.config)
        return 0


def _can_be_cut(layer: Any, length: int) -> bool:
    """Whether a cache layer of this length can lose its last tokens: a full sliding window cannot."""
    return getattr(layer, "is_croppable", False) and not (layer.is_sliding and length >= layer.sliding_window)
