"""Settings that readers prefer, learnt from what they chose.

How much a reader likes a candidate is taken to be a sum of smooth curves, one over each side of the ranges, that
change with the step of the story, by ``logit``. Each candidate is drawn by curves that are drawn from those that the
choices leave possible, which tries what may be good until it is known to be worse (Thompson, 1933; Chapelle & Li, 2011,
An Empirical Evaluation of Thompson Sampling).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from random import Random
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fate.core.sampling import Place, SamplerSettings, SettingsRanges, spread
from fate.policy.draw import Draw
from fate.policy.logit import conditional_logit

_CURVES = 64  # how many stand for all that may be
_CELLS = 16  # of equal length, in each of which a side has one density
_KEEN = 3.0  # how much denser what is liked: e to the power of this, for a liking of 1
_CURIOUS = 0.1  # the share of candidates that are drawn as if nothing was known
_OPEN = 0.35  # the standard deviation of a coefficient before anything was chosen: that of the liking is 1 then
_CHANGES = 0.2  # and of its change over a story
_LATE = 4.0  # doublings of the step, from 1 on, after which a story does not change any more

_Array = npt.NDArray[np.float64]


class Contest(NamedTuple):
    """A choice in which a candidate was chosen."""

    step: int  # choices before it in the story
    settings: tuple[tuple[int, float, float, float], ...]  # top_k, temperature, typical_p, muse_damp
    won: int  # which of them was chosen


class LearnedPolicy:
    """Draws what was preferred more often, and tells how much more.

    A draw has the density of a mixture: of ``_CURVES`` products of a density over each side of the ranges, and, for the
    share ``_CURIOUS``, of the uniform one; so the density is never less than that share of the uniform one. It follows
    from ranges and history alone.

    Args:
        history: gives what was chosen before, as many candidates in each contest, in the order of their places on the
            screen. It is asked when settings are first drawn, in whichever thread that is; what it raises, ``draw``
            raises, and asks again the next time. Without a contest, draws are uniform.
    """

    name = "learned"

    def __init__(self, ranges: SettingsRanges, history: Callable[[], Iterable[Contest]]) -> None:
        self.ranges = ranges
        self._history = history

    def draw(self, rng: Random, n: int, step: int) -> tuple[Draw, ...]:
        """See ``Policy``. Where much is known, the settings of a choice lie closer together than uniform ones."""
        densities = self._densities(step)
        drawn = []
        for place in spread(rng, n):
            if len(densities) and rng.random() >= _CURIOUS:
                sides = densities[rng.randrange(len(densities))]
                place = Place(*(_quantile(side, u) for side, u in zip(sides, place, strict=True)))
            settings = self.ranges.at(place)
            drawn.append(Draw(settings, self._log_density(settings, densities)))
        return tuple(drawn)

    def log_density(self, settings: SamplerSettings, step: int) -> float:
        """Log-density of a draw at a step, in the measure of ``SettingsRanges.log_density``."""
        return self._log_density(settings, self._densities(step))

    def _log_density(self, settings: SamplerSettings, densities: _Array) -> float:
        uniform = self.ranges.log_density(settings)
        if not len(densities) or uniform == -math.inf:
            return uniform
        place = self.ranges.place(settings.top_k, settings.temperature, settings.typical_p, settings.muse_damp)
        ratio = _mean_between(densities[:, 0], *self.ranges.part(settings.top_k))
        for side, (u, there) in enumerate(zip(place[1:], self._open_sides(settings.top_k), strict=True), 1):
            if there:
                ratio = ratio * densities[:, side, _cell(u)]
        return uniform + math.log(_CURIOUS + (1 - _CURIOUS) * float(ratio.mean()))

    def _open_sides(self, top_k: int) -> tuple[bool, bool, bool]:
        """Whether temperature, typical_p and muse_damp are ranges, and not points."""
        low, high = self.ranges.temperature[0], self.ranges.highest_temperature(top_k)
        typical, damp = self.ranges.typical_p, self.ranges.muse_damp
        return high > low, typical[1] > typical[0], damp[1] > damp[0]

    def _densities(self, step: int) -> _Array:
        """Of each curve, the density in each cell of each side, in units of the uniform one; (curves, sides, cells)."""
        middles = (np.arange(_CELLS) + 0.5) / _CELLS
        coefficients = np.einsum("mtab,t->mab", self._coefficients, _time(step))
        liking = _KEEN * np.einsum("mab,cb->mac", coefficients, _basis(middles))
        density = np.exp(liking - liking.max(-1, keepdims=True))
        relative: _Array = density / density.mean(-1, keepdims=True)
        return relative

    @cached_property
    def _coefficients(self) -> _Array:
        """Of curves, one as likely as the other: (curves, 2 of time, sides, 2 of the basis); none without a history."""
        shape = (2, len(Place._fields), 2)
        if not (history := list(self._history())):
            return np.empty((0, *shape))
        features, absent, won, precision = _table(self.ranges, history)
        mean, covariance = conditional_logit(features, absent, won, precision)
        # The same numbers for every history, so that one more choice changes the curves a little.
        normal = np.random.default_rng(0).standard_normal((_CURVES, len(mean)))
        drawn = mean + normal @ np.linalg.cholesky(covariance).T
        return drawn[:, : math.prod(shape)].reshape(-1, *shape)


def _table(
    ranges: SettingsRanges, history: Sequence[Contest]
) -> tuple[_Array, npt.NDArray[np.bool_], npt.NDArray[np.int64], _Array]:
    """What ``conditional_logit`` takes, of contests.

    A candidate that is out of the ranges is absent: whoever chose among three chose among the two others, too. A
    contest that was won by one is left with no weight, as if it alone had been there.
    """
    places = np.array([[ranges.place(*settings) for settings in contest.settings] for contest in history])
    absent = np.array([[not ranges.hold(*settings) for settings in contest.settings] for contest in history])
    won = np.array([contest.won for contest in history])
    lost = absent[np.arange(len(won)), won]
    absent[lost] = np.arange(absent.shape[1]) != won[lost, None]
    times = np.array([_time(contest.step) for contest in history])
    features = np.einsum("it,icab->ictab", times, _basis(places)).reshape(*places.shape[:2], -1)
    # Readers may have a liking for a place on the screen, which is not to be taken for one of the settings there.
    on_screen = np.broadcast_to(np.eye(places.shape[1]), (len(history), *[places.shape[1]] * 2))
    sizes = [features.shape[2] // 2, features.shape[2] // 2, places.shape[1]]
    precision = np.repeat([_OPEN**-2, _CHANGES**-2, 1.0], sizes)
    return np.concatenate([features, on_screen], -1), absent, won, precision


def _basis(u: _Array) -> _Array:
    """The first two Legendre polynomials on [0, 1] after the constant, of length 1; a new last axis of two."""
    return np.stack([math.sqrt(3) * (2 * u - 1), math.sqrt(5) * (6 * u * u - 6 * u + 1)], -1)


def _time(step: int) -> _Array:
    """1, and how late a step is: from -1 at the opening to 1; shape (2,)."""
    return np.array([1.0, min(math.log2(1 + step) / _LATE, 1.0) * 2 - 1])


def _cell(u: float) -> int:
    return min(int(u * _CELLS), _CELLS - 1)


def _mean_between(density: _Array, low: float, high: float) -> _Array:
    """The mean from low to high of densities in cells, (..., cells)."""
    if _cell(low) == _cell(high):
        inside: _Array = density[..., _cell(low)]
        return inside
    between: _Array = (_below(density, high) - _below(density, low)) / (high - low)
    return between


def _below(density: _Array, u: float) -> _Array:
    """What lies below u of densities in cells, (..., cells)."""
    cell = _cell(u)
    below: _Array = (density[..., :cell].sum(-1) + density[..., cell] * (u * _CELLS - cell)) / _CELLS
    return below


def _quantile(density: _Array, u: float) -> float:
    """Below what the share u lies, of a density in cells, (cells,)."""
    up_to = np.cumsum(density) / _CELLS
    cell = min(int(np.searchsorted(up_to, u, side="right")), _CELLS - 1)
    inside = float(1 - (up_to[cell] - u) / (density[cell] / _CELLS))
    return min((cell + min(max(inside, 0.0), 1.0)) / _CELLS, math.nextafter(1.0, 0.0))
