"""Settings drawn from the declared ranges, without looking at any history."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from fate.core.sampling import SamplerSettings, SettingsRanges


@dataclass(frozen=True, slots=True)
class Draw:
    """One candidate's settings, and the log-density with which its policy draws them."""

    settings: SamplerSettings
    log_density: float


class UniformPolicy:
    """Every part of the ranges is as likely as every other; see ``SettingsRanges`` for the density."""

    name = "uniform"

    def __init__(self, ranges: SettingsRanges) -> None:
        self.ranges = ranges

    def draw(self, rng: Random, n: int) -> tuple[Draw, ...]:
        """Settings for ``n`` candidates of one choice, each different from the others."""
        return tuple(Draw(settings, self.ranges.log_density(settings)) for settings in self.ranges.draw(rng, n))
