"""What every policy is."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Protocol

from fate.core.sampling import SamplerSettings


@dataclass(frozen=True, slots=True)
class Draw:
    """One candidate's settings, and the log-density with which its policy draws them."""

    settings: SamplerSettings
    log_density: float


class Policy(Protocol):
    """Draws the settings of the next candidates."""

    name: str

    def draw(self, rng: Random, n: int, step: int) -> tuple[Draw, ...]:
        """Settings for ``n`` candidates of a choice that ``step`` others stand before.

        The log-density of each is of the draw by itself, in the measure of ``SettingsRanges.log_density``.
        """
