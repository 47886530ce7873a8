"""All rows' scores to the distributions they are sampled from, at once.

A row's chain is temperature → Muse → top_k → typical_p. Because top_k comes before typical_p, only
the best (muse_top_k + top_k) raw scores of a row can survive: the Muse lowers at most ``muse_top_k``
of them, so the ``top_k`` best after it are among these. Only they are looked for in the vocabulary;
what follows is small, and done in NumPy, which begins an operation in a fraction of PyTorch's time, or
in compiled code (``native.NativeDraws``), which must draw the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from fate.core.sampling import MUSE_MODES, SamplerSettings
from fate.damping import dampen
from fate.engine import native

_Floats = npt.NDArray[np.float64]


class Warper:
    """The settings of a batch of rows as arrays, one row each.

    Args:
        compiled: whether ``draw`` may take compiled code, which is for scores on the CPU.
    """

    def __init__(self, settings: Sequence[SamplerSettings], *, compiled: bool = True) -> None:
        def column(values: Sequence[float], dtype: Any = np.float64) -> npt.NDArray[Any]:
            return np.array(values, dtype=dtype)[:, None]

        self._settings = tuple(settings)
        self._temperature = column([s.temperature for s in settings])
        self._rows = np.arange(len(settings))[:, None]
        self._top_k = column([s.top_k for s in settings], np.int64)
        self._typical_p = column([s.typical_p for s in settings])
        self._muse_top_k = column([s.muse_top_k for s in settings], np.int64)
        self._mode = column([MUSE_MODES.index(s.muse_mode) for s in settings], np.int64)
        self._modes = [mode for mode in MUSE_MODES if any(s.muse_mode == mode for s in settings)]
        self._reach = self._top_k + self._muse_top_k
        self._native = native.NativeDraws(settings) if compiled and native.library() is not None else None

    def at(self, t: int, uniforms: Sequence[float]) -> native.NativeDraws | None:
        """What a decoder may take along to ``draw`` at once, in compiled code, from all scores; see ``draw``."""
        return None if self._native is None else self._native.at(t, uniforms)

    def draw(
        self, scores: torch.Tensor, possible: torch.Tensor, t: int, uniforms: Sequence[float]
    ) -> list[tuple[int, float, float]]:
        """One token for each row at generated position ``t``: by inverse CDF of what the warper leaves.

        Args:
            scores: (rows, vocabulary) raw scores.
            possible: the same, with −inf for tokens that must not be drawn.
            uniforms: a number in [0, 1) for each row.

        Returns each token with its log-probability by the model, and in the distribution that it was drawn from.
        """
        if (draws := self.at(t, uniforms)) is not None:
            draws.draw(scores, possible)
            if draws.drawn is not None:
                return draws.drawn
        logprobs, ranked = self(possible, t)
        columns = inverse_cdf(logprobs, torch.tensor(uniforms, dtype=torch.float64))
        tokens = ranked.gather(-1, columns)
        raw = scores.float().log_softmax(-1).gather(-1, tokens.to(scores.device))
        warped = logprobs.gather(-1, columns)
        return list(zip(*(column[:, 0].tolist() for column in (tokens, raw, warped)), strict=True))

    def __call__(self, scores: torch.Tensor, t: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The distributions at generated position ``t``.

        Args:
            scores: (rows, vocabulary) raw scores of any float type, on any device; not changed.

        Returns float64 log-probabilities (rows, n), −inf where a token was warped away, and the tokens they
        belong to (rows, n), both in descending order of the raw scores, on the CPU.
        """
        ranked, tokens = scores.float().topk(min(int(self._reach.max()), scores.shape[-1]), dim=-1)
        tempered = ranked.cpu().double().numpy() / self._temperature
        tempered[np.arange(ranked.shape[-1]) >= self._reach] = -np.inf  # only its own: a row knows no other
        damp = np.array([[s.damp_at(t)] for s in self._settings])
        dampened = tempered
        for mode in self._modes:
            rows = self._mode == MUSE_MODES.index(mode)
            dampened = np.where(rows, dampen(tempered, self._muse_top_k, damp, mode), dampened)
        with np.errstate(all="ignore"):  # impossible tokens have -inf, and 0 · -inf on the way
            warped = _log_softmax(self._typical(self._top(dampened)))
        return torch.from_numpy(warped), tokens.cpu()

    def _top(self, scores: _Floats) -> _Floats:
        """Only each row's top_k largest scores (and what ties with the last of them)."""
        n = scores.shape[-1]
        smallest = np.sort(scores)[self._rows, np.maximum(n - self._top_k, 0)]
        return np.where(scores < smallest, -np.inf, scores)

    def _typical(self, scores: _Floats) -> _Floats:
        """Only each row's locally typical tokens, up to its mass (arXiv:2202.00666)."""
        logprobs = _log_softmax(scores)
        probs = np.exp(logprobs)
        entropy = -np.where(probs > 0, logprobs * probs, 0.0).sum(-1, keepdims=True)
        distance = np.abs(-logprobs - entropy)
        order = distance.argsort(-1)
        mass = probs[self._rows, order].cumsum(-1)
        last = np.minimum((mass < self._typical_p).sum(-1, keepdims=True), scores.shape[-1] - 1)
        farthest = distance[self._rows, order[self._rows, last]]
        return np.where((distance > farthest) & (self._typical_p < 1), -np.inf, scores)


def _log_softmax(scores: _Floats) -> _Floats:
    shifted = scores - scores.max(-1, keepdims=True)
    logs: _Floats = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return logs


def inverse_cdf(logprobs: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
    """The column each row draws: the first whose cumulative probability exceeds its uniform.

    Args:
        logprobs: (rows, n) float64 normalised log-probabilities, −inf for impossible columns.
        uniforms: (rows,) float64 numbers in [0, 1).

    Returns (rows, 1) column indices; never an impossible one.
    """
    possible = logprobs.numpy() > -np.inf
    cumulative = np.exp(logprobs.numpy()).cumsum(-1)
    point = uniforms.numpy()[:, None] * cumulative[:, -1:]
    drawn = (cumulative <= point).sum(-1, keepdims=True)
    # Where rounding carries the point to the very end, the last possible column is the one.
    last = (possible * np.arange(possible.shape[-1])).max(-1, keepdims=True)
    return torch.from_numpy(np.minimum(drawn, last))
