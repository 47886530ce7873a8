"""Settings drawn from the declared ranges, without looking at any history."""

from __future__ import annotations

from random import Random

from fate.core.sampling import SettingsRanges
from fate.policy.draw import Draw


class UniformPolicy:
    """Every part of the ranges is as likely as every other; see ``SettingsRanges`` for the density."""

    name = "uniform"

    def __init__(self, ranges: SettingsRanges) -> None:
        self.ranges = ranges

    def draw(self, rng: Random, n: int, step: int) -> tuple[Draw, ...]:
        """See ``Policy``; every step is like every other."""
        return tuple(Draw(settings, self.ranges.log_density(settings)) for settings in self.ranges.draw(rng, n))
