"""All rows' scores to the distributions they are sampled from, at once.

A row's chain is temperature → Muse → top_k → typical_p. Because top_k comes before typical_p, only
the best (muse_top_k + top_k) raw scores of a row can survive: the Muse lowers at most ``muse_top_k``
of them, so the ``top_k`` best after it are among these. One ``topk`` over the vocabulary is enough.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from fate.core.sampling import MUSE_MODES, SamplerSettings
from fate.muse import dampen


class Warper:
    """The settings of a batch of rows as tensors, one row each."""

    def __init__(self, settings: Sequence[SamplerSettings], device: torch.device | str = "cpu") -> None:
        def column(values: Sequence[float], dtype: torch.dtype = torch.float64) -> torch.Tensor:
            return torch.tensor(values, dtype=dtype, device=device).unsqueeze(-1)

        self._settings = tuple(settings)
        self._temperature = column([s.temperature for s in settings])
        self._top_k = column([s.top_k for s in settings], torch.int64)
        self._typical_p = column([s.typical_p for s in settings])
        self._muse_top_k = column([s.muse_top_k for s in settings], torch.int64)
        self._mode = column([MUSE_MODES.index(s.muse_mode) for s in settings], torch.int64)
        self._modes = [mode for mode in MUSE_MODES if any(s.muse_mode == mode for s in settings)]
        self._reach = max(s.top_k + s.muse_top_k for s in settings)

    def __call__(self, scores: torch.Tensor, t: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The distributions at generated position ``t``.

        Args:
            scores: (rows, vocabulary) raw scores of any float type; not changed.

        Returns float64 log-probabilities (rows, n), −inf where a token was warped away, and the tokens they
        belong to (rows, n), both in descending order of the raw scores.
        """
        reach = min(self._reach, scores.shape[-1])
        ranked, tokens = scores.float().topk(reach, dim=-1)
        ranked = ranked.double() / self._temperature
        damp = torch.tensor([[s.damp_at(t)] for s in self._settings], dtype=torch.float64, device=scores.device)
        dampened = ranked
        for mode in self._modes:
            rows = self._mode == MUSE_MODES.index(mode)
            dampened = torch.where(rows, dampen(ranked, self._muse_top_k, damp, mode), dampened)
        return self._typical(self._top(dampened)).log_softmax(-1), tokens

    def _top(self, scores: torch.Tensor) -> torch.Tensor:
        """Only each row's top_k largest scores (and what ties with the last of them)."""
        last = (self._top_k - 1).clamp(max=scores.shape[-1] - 1)
        smallest = scores.sort(-1, descending=True).values.gather(-1, last)
        return scores.masked_fill(scores < smallest, -torch.inf)

    def _typical(self, scores: torch.Tensor) -> torch.Tensor:
        """Only each row's locally typical tokens, up to its mass (arXiv:2202.00666)."""
        logprobs = scores.log_softmax(-1)
        entropy = -(logprobs * logprobs.exp()).nansum(-1, keepdim=True)
        distance, order = (-logprobs - entropy).abs().sort(-1)
        mass = logprobs.exp().gather(-1, order).cumsum(-1)
        last = (mass < self._typical_p).sum(-1, keepdim=True).clamp(max=scores.shape[-1] - 1)
        too_far = (distance > distance.gather(-1, last)) & (self._typical_p < 1)
        return scores.masked_fill(torch.zeros_like(too_far).scatter(-1, order, too_far), -torch.inf)


def inverse_cdf(logprobs: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
    """The column each row draws: the first whose cumulative probability exceeds its uniform.

    Args:
        logprobs: (rows, n) float64 normalised log-probabilities, −inf for impossible columns.
        uniforms: (rows,) float64 numbers in [0, 1).

    Returns (rows, 1) column indices; never an impossible one.
    """
    cumulative = logprobs.exp().cumsum(-1)
    point = uniforms.unsqueeze(-1) * cumulative[:, -1:]
    drawn = torch.searchsorted(cumulative, point, right=True)
    # Where rounding carries the point to the very end, the last possible column is the one.
    possible = logprobs > -torch.inf
    last = (possible * torch.arange(logprobs.shape[-1], device=logprobs.device)).amax(-1, keepdim=True)
    return torch.minimum(drawn, last)
