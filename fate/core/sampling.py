"""How a candidate is sampled, and how its settings are drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from random import Random
from typing import Literal, NamedTuple, get_args

MuseMode = Literal["prob", "margin", "upstream"]
PolicyName = Literal["uniform", "learned"]  # of what settings are drawn by, see ``fate.policy``
MUSE_MODES: tuple[MuseMode, ...] = get_args(MuseMode)


@dataclass(frozen=True, slots=True)
class SamplerSettings:
    """Everything that turns a model's scores into one candidate, apart from its seed.

    The chain is temperature → Muse → top_k → typical_p (Meister et al., 2022, arXiv:2202.00666);
    ``typical_p`` of 1 leaves the last step out. A candidate is at most ``max_new_tokens`` long and
    ends earlier where a sentence ends once it has ``min_new_tokens``. It is written ``best_of`` times, and
    the best text is the one that counts, see ``core.picking``.

    Raises ValueError, quoting the value, where a field is out of its range.
    """

    temperature: float = 0.8
    top_k: int = 50
    typical_p: float = 0.95
    muse_top_k: int = 3
    muse_damp: float = 0.7
    muse_damp_initial: float = 0.4
    muse_damp_ramp_tokens: int = 8
    muse_mode: MuseMode = "prob"
    min_new_tokens: int = 20
    max_new_tokens: int = 56
    best_of: int = 1

    def __post_init__(self) -> None:
        for name, kind in self.__annotations__.items():
            value = getattr(self, name)
            if kind == "int" and (isinstance(value, bool) or not isinstance(value, int)):
                raise ValueError(f"{name} must be a whole number, not {value!r}")
            if kind == "float" and (isinstance(value, bool) or not isinstance(value, int | float)):
                raise ValueError(f"{name} must be a number, not {value!r}")
        check = {
            "temperature": (self.temperature, 0 < self.temperature < math.inf, "above 0"),
            "top_k": (self.top_k, self.top_k >= 1, "at least 1"),
            "typical_p": (self.typical_p, 0 < self.typical_p <= 1, "above 0 and at most 1"),
            "muse_top_k": (self.muse_top_k, self.muse_top_k >= 1, "at least 1"),
            "muse_damp": (self.muse_damp, 0 <= self.muse_damp < math.inf, "0 or more"),
            "muse_damp_initial": (self.muse_damp_initial, 0 <= self.muse_damp_initial < math.inf, "0 or more"),
            "muse_damp_ramp_tokens": (self.muse_damp_ramp_tokens, self.muse_damp_ramp_tokens >= 0, "0 or more"),
            "muse_mode": (self.muse_mode, self.muse_mode in MUSE_MODES, f"one of {', '.join(MUSE_MODES)}"),
            "max_new_tokens": (self.max_new_tokens, self.max_new_tokens >= 1, "at least 1"),
            "min_new_tokens": (
                self.min_new_tokens,
                1 <= self.min_new_tokens <= self.max_new_tokens,
                "at least 1 and at most max_new_tokens",
            ),
            "best_of": (self.best_of, 1 <= self.best_of <= 64, "between 1 and 64"),
        }
        for name, (value, good, rule) in check.items():
            if not good:
                raise ValueError(f"{name} must be {rule}, not {value!r}")

    def damp_at(self, t: int) -> float:
        """The Muse's damp in force at generated position ``t`` (0-based)."""
        return ramp(t, self.muse_damp, self.muse_damp_initial, self.muse_damp_ramp_tokens)

    def summary(self) -> str:
        """The parameters that differ from candidate to candidate, on one short line."""
        return "t {} k {} typ {} damp {}".format(*self._drawn())

    def spelled_out(self) -> str:
        """The same with their names."""
        return "temperature {}, top_k {}, typical_p {}, damp {}".format(*self._drawn())

    def _drawn(self) -> tuple[str, str, str, str]:
        temperature, typical, damp = (
            f"{value:.2f}".removeprefix("0") for value in (self.temperature, self.typical_p, self.muse_damp)
        )
        return temperature, str(self.top_k), typical, damp


def ramp(t: int, damp: float, initial: float, tokens: int) -> float:
    """d(t) = initial + min(t / tokens, 1) · (damp − initial); ``damp`` where ``tokens`` is 0."""
    if tokens == 0:
        return damp
    return initial + min(t / tokens, 1.0) * (damp - initial)


class Place(NamedTuple):
    """A point of the ranges, each side in [0, 1): where a value lies in the distribution it is drawn from."""

    top_k: float
    temperature: float
    typical_p: float
    muse_damp: float


@dataclass(frozen=True, slots=True)
class SettingsRanges:
    """The ranges that readers are shown, and what stays fixed.

    Temperature, typical_p and the Muse's damp are uniform in their (lowest, highest) range; top_k is
    log-uniform over its integers. A high top_k lowers the highest allowed temperature:

        t_max(k) = t_low + (t_high − t_low) · (1 − coupling · ln(k / k_low) / ln(k_high / k_low))

    The formula is fate's own. It is linear in ln k because ln k is the largest entropy that k tokens
    can have: both a high temperature and a large k let the unreliable tail in (Holtzman et al., 2020,
    arXiv:1904.09751), so where one is generous the other is held back.

    Raises ValueError where a range is empty, reversed or outside what SamplerSettings allows.
    """

    temperature: tuple[float, float] = (0.7, 1.1)
    top_k: tuple[int, int] = (8, 120)
    typical_p: tuple[float, float] = (0.6, 1.0)
    muse_damp: tuple[float, float] = (0.4, 1.0)
    coupling: float = 0.5
    fixed: SamplerSettings = field(default_factory=SamplerSettings)

    def __post_init__(self) -> None:
        for name in ("temperature", "top_k", "typical_p", "muse_damp"):
            low, high = getattr(self, name)
            if not low <= high:
                raise ValueError(f"{name} must be a range from low to high, not {low!r} to {high!r}")
            for value in (low, high):
                replace(self.fixed, **{name: value})
        if not 0 <= self.coupling <= 1:
            raise ValueError(f"coupling must be between 0 and 1, not {self.coupling!r}")

    def highest_temperature(self, top_k: int) -> float:
        """t_max(k), see the class."""
        low, high = self.temperature
        k_low, k_high = self.top_k
        if k_low == k_high:
            return high
        return low + (high - low) * (1 - self.coupling * math.log(top_k / k_low) / math.log(k_high / k_low))

    def log_density(self, settings: SamplerSettings) -> float:
        """Log-density of one draw: counting measure on top_k, length on the other three.

        A range of zero width is a point and adds nothing; −inf outside the ranges.
        """
        top_k = settings.top_k
        if not self.hold(top_k, settings.temperature, settings.typical_p, settings.muse_damp):
            return -math.inf
        log_density = math.log(math.log1p(1 / top_k) / math.log((self.top_k[1] + 1) / self.top_k[0]))
        for low, high in ((self.temperature[0], self.highest_temperature(top_k)), self.typical_p, self.muse_damp):
            if high > low:
                log_density -= math.log(high - low)
        return log_density

    def hold(self, top_k: int, temperature: float, typical_p: float, muse_damp: float) -> bool:
        """Whether settings can be drawn."""
        return (
            self.top_k[0] <= top_k <= self.top_k[1]
            and self.temperature[0] <= temperature <= self.highest_temperature(top_k)
            and self.typical_p[0] <= typical_p <= self.typical_p[1]
            and self.muse_damp[0] <= muse_damp <= self.muse_damp[1]
        )

    def at(self, place: Place) -> SamplerSettings:
        """The settings at a place of the ranges: the inverse of each distribution function."""
        k_low, k_high = self.top_k
        k = min(int(k_low * ((k_high + 1) / k_low) ** place.top_k), k_high)
        return replace(
            self.fixed,
            top_k=k,
            temperature=_between(self.temperature[0], self.highest_temperature(k), place.temperature),
            typical_p=_between(*self.typical_p, place.typical_p),
            muse_damp=_between(*self.muse_damp, place.muse_damp),
        )

    def place(self, top_k: int, temperature: float, typical_p: float, muse_damp: float) -> Place:
        """Where settings lie in the ranges, the inverse of ``at``.

        A top_k lies in the middle of its part, see ``part``. What is out of a range lies at its edge, and in the middle
        of one that is a point.
        """
        top_k = min(max(top_k, self.top_k[0]), self.top_k[1])
        return Place(
            sum(self.part(top_k)) / 2,
            _share(temperature, self.temperature[0], self.highest_temperature(top_k)),
            _share(typical_p, *self.typical_p),
            _share(muse_damp, *self.muse_damp),
        )

    def part(self, top_k: int) -> tuple[float, float]:
        """The part of [0, 1] in which ``at`` finds this top_k."""
        k_low, k_high = self.top_k
        whole = math.log((k_high + 1) / k_low)
        low = math.log(top_k / k_low) / whole
        return low, min(low + math.log1p(1 / top_k) / whole, 1.0)

    def draw(self, rng: Random, n: int) -> tuple[SamplerSettings, ...]:
        """``n`` settings, spread over the ranges; all different unless the ranges leave nothing to differ in.

        Each draw by itself has exactly the density that ``log_density`` states; see ``spread``.
        """
        return tuple(map(self.at, spread(rng, n)))


def spread(rng: Random, n: int) -> list[Place]:
    """``n`` places of which each by itself is uniform, and no two look alike.

    A Latin hypercube (McKay, Beckman & Conover, 1979): every side is cut into ``n`` parts of equal
    length, and each part is used once.
    """
    columns = [[(part + rng.random()) / n for part in rng.sample(range(n), n)] for _ in Place._fields]
    return [Place(*row) for row in zip(*columns, strict=True)]


def _between(low: float, high: float, u: float) -> float:
    return min(low + (high - low) * u, high)


def _share(value: float, low: float, high: float) -> float:
    return min(max((value - low) / (high - low), 0.0), 1.0) if high > low else 0.5
