"""The Muse: make the most probable tokens a little less likely.

After the logits warper of the same name in the text-generation experiment "The Muse", restated so
that it does what it says for every model: see ``mode``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transformers import LogitsProcessor

from fate.core.sampling import MUSE_MODES, MuseMode, ramp
from fate.damping import dampen

HIGHEST_DAMP = 1e6  # far beyond any use, and no overflow


class MuseLogitsWarper(LogitsProcessor):  # type: ignore[misc]  # transformers is not typed
    """Dampens the ``top_k`` largest scores of each row; for any transformers ``generate``.

    At generated position t the damp in force is d(t) = damp_initial + min(t / damp_ramp_tokens, 1) ·
    (damp − damp_initial), and ``damp`` where the ramp is 0. In a chain it belongs between temperature
    and top-k, which is where fate has it; transformers' ``generate`` runs a processor that it is handed
    before its own temperature, where ``damp`` is a little stronger or weaker than it says.

    ============  =========================  ====================================================
    mode          on the top_k scores s      what it means
    ============  =========================  ====================================================
    ``prob``      s + log d                  p becomes d·p, renormalised; 0 makes them impossible
    ``margin``    b + d·(s − b)              1/temperature on the top only; b is the next score
    ``upstream``  d·s                        the original arithmetic; depends on the zero point
    ============  =========================  ====================================================

    Args:
        top_k: how many of the largest scores are dampened, at least 1.
        damp: d once the ramp is over, from 0 to HIGHEST_DAMP; below 1 makes the top less likely.
        damp_initial: d at the first token, in the same range.
        damp_ramp_tokens: tokens over which d moves from ``damp_initial`` to ``damp``.
        mode: see the table.
        prompt_length: tokens before the first generated one. None: a call whose input is not exactly
            one token longer than the last call's starts a new generation.

    Raises:
        ValueError: an argument is out of its range; the message quotes it.
    """

    def __init__(
        self,
        top_k: int = 3,
        damp: float = 0.5,
        damp_initial: float = 1.0,
        damp_ramp_tokens: int = 0,
        mode: MuseMode = "prob",
        prompt_length: int | None = None,
    ) -> None:
        _whole("top_k", top_k, 1)
        _whole("damp_ramp_tokens", damp_ramp_tokens, 0)
        if prompt_length is not None:
            _whole("prompt_length", prompt_length, 0)
        for name, value in (("damp", damp), ("damp_initial", damp_initial)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= HIGHEST_DAMP:
                raise ValueError(f"{name} must be a number from 0 to {HIGHEST_DAMP:g}, not {value!r}")
        if mode not in MUSE_MODES:
            raise ValueError(f"mode must be one of {', '.join(MUSE_MODES)}, not {mode!r}")
        self.top_k = top_k
        self.damp = damp
        self.damp_initial = damp_initial
        self.damp_ramp_tokens = damp_ramp_tokens
        self.mode: MuseMode = mode
        self.prompt_length = prompt_length
        self._start = self._last = -1

    def position(self, length: int) -> int:
        """The generated position t (0-based) of a call with ``length`` input tokens.

        Raises ValueError where ``length`` is shorter than ``prompt_length``.
        """
        if self.prompt_length is not None:
            if length < self.prompt_length:
                raise ValueError(f"the input has {length} tokens, fewer than prompt_length = {self.prompt_length!r}")
            return length - self.prompt_length
        if length != self._last + 1:
            self._start = length
        self._last = length
        return length - self._start

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.Tensor:
        """Warped scores, shape (rows, vocabulary), of the dtype of ``scores``, which is not changed."""
        t = self.position(input_ids.shape[-1])
        damp = ramp(t, self.damp, self.damp_initial, self.damp_ramp_tokens)
        wide = scores.to(torch.promote_types(scores.dtype, torch.float32))
        ranked, tokens = wide.topk(min(self.top_k + 1, wide.shape[-1]), dim=-1)
        scored = ranked.cpu().numpy()
        top_k, damps = np.full((len(scored), 1), self.top_k), np.full((len(scored), 1), damp, dtype=scored.dtype)
        dampened = torch.from_numpy(dampen(scored, top_k, damps, self.mode)).to(wide.device)
        # A score that was finite stays finite in the narrower type it came in.
        limits = torch.finfo(scores.dtype)
        dampened = torch.where(dampened.isfinite(), dampened.clamp(limits.min, limits.max), dampened)
        return wide.scatter(-1, tokens, dampened).to(scores.dtype)


def _whole(name: str, value: Any, lowest: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
        raise ValueError(f"{name} must be a whole number of at least {lowest}, not {value!r}")
