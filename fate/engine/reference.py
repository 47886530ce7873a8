"""Any causal language model of transformers, through its own forward pass: slower, and always right."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM, DynamicCache

from fate.core.errors import StoppedError
from fate.core.story import common_prefix

_BLOCK = 64  # tokens that are read in one pass: many enough to keep a processor busy


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


def cache_argument(model: Any) -> str:
    """The argument by which a causal LM takes its cache; transformers 5.24 gave it another name."""
    return "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"


def croppable(cache: DynamicCache) -> bool:
    """Whether keys and values are all that a model keeps of what it read, so that its end can be taken back."""
    return all(getattr(layer, "is_croppable", False) for layer in cache.layers)


class TransformersDecoder:
    """Scores of the next token for several rows after one prompt; see ``decoding.Decoder``.

    A prompt is read in blocks that begin at the same places whatever was read before, and what is kept of it is whole
    blocks. So its scores are the same, to the last bit, whenever it is read. A model whose cache cannot be cut reads
    each prompt anew, in one pass.

    Args:
        model: a transformers causal LM in evaluation mode.
    """

    several = False

    def __init__(self, model: Any) -> None:
        self.model = model
        self.device: torch.device = model.device
        self.forget()
        self._in_blocks = croppable(self._blocks)
        self._cache_argument = cache_argument(model)

    @property
    def keeps(self) -> bool:
        return self._in_blocks and not self._slides()

    def forget(self) -> None:
        self._blocks = DynamicCache(config=self.model.config)
        self._read: list[int] = []  # the tokens in them
        self._cache: Any = None  # all that each row has read
        self._rows = 0

    @torch.inference_mode()
    def begin(
        self,
        prompts: Sequence[tuple[int, ...]],
        rows: int,
        room: int,
        stem: int | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> tuple[torch.Tensor, list[int]]:
        (prompt,) = prompts
        self._cache = None
        self._keep_common(prompt)
        cached = len(self._read)
        # The last token is in no block: its scores are wanted.
        whole = (len(prompt) - 1) // _BLOCK * _BLOCK if self._in_blocks else 0
        for begin in range(cached, whole, _BLOCK):
            _heed(stop)
            block, self._read = prompt[begin : begin + _BLOCK], []  # whatever fails, nothing is taken for read
            self._forward(self._blocks, [block])
            self._read = list(prompt[: begin + _BLOCK])
        _heed(stop)
        cache = copy.deepcopy(self._blocks)
        scores = self._forward(cache, [prompt[whole:]])
        cache.reorder_cache(torch.zeros(rows, dtype=torch.long, device=self.device))
        self._cache, self._rows = cache, rows
        return scores, [cached]

    def save(self, prompt: tuple[int, ...], stem: int | None) -> None:
        """Nothing: what it scores does not depend on what it read before."""

    def restore(self, before: None) -> None:
        pass

    @torch.inference_mode()
    def advance(self, tokens: Sequence[int], draws: object = None, rows: Sequence[int] | None = None) -> torch.Tensor:
        rows = range(self._rows) if rows is None else rows
        every = [[0]] * self._rows  # the others go on unseen: the arithmetic of a row can depend on how many there are
        for row, token in zip(rows, tokens, strict=True):
            every[row] = [token]
        return self._forward(self._cache, every)[list(rows)]

    @torch.inference_mode()
    def keep(self, rows: slice) -> None:
        kept = torch.arange(self._rows, device=self.device)[rows]
        self._cache.reorder_cache(kept)
        self._rows = len(kept)

    def _forward(self, cache: DynamicCache, tokens: Sequence[Sequence[int]]) -> torch.Tensor:
        ids = torch.tensor(tokens, device=self.device)
        out = self.model(input_ids=ids, use_cache=True, logits_to_keep=1, **{self._cache_argument: cache})
        scores: torch.Tensor = out.logits[:, -1].float()
        return scores

    def _keep_common(self, prompt: tuple[int, ...]) -> None:
        """Cut the blocks to those that the prompt begins with."""
        length, common = len(self._read), common_prefix(self._read, prompt[:-1]) // _BLOCK * _BLOCK
        if 0 < common == length:
            return
        if common and not self._slides():
            self._blocks.crop(common - length)
            del self._read[common:]
        else:
            self.forget()

    def _slides(self) -> bool:
        """Whether tokens have slid out of a window: they cannot come back."""
        return any(layer.is_sliding and len(self._read) >= layer.sliding_window for layer in self._blocks.layers)


def _heed(stop: Callable[[], bool] | None) -> None:
    if stop and stop():
        raise StoppedError
