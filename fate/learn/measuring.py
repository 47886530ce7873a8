"""Choices that are learnt from, choices that measure what was learnt, and how."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from fate.core.errors import FateError
from fate.core.story import place_of

_STORIES, _CHOICES = 5, 40  # fewer say nothing that would hold in another story
_HELD_OUT = 0.2  # the share of the stories that only measures what was learnt
SURE = 1.64  # standard deviations of what guessing finds, above which it is found by guessing once in twenty times


class LearnError(FateError):
    """Nothing can be learnt from these choices, or by this model."""


class _OfStory(Protocol):
    @property
    def story_id(self) -> str: ...


_Each = TypeVar("_Each", bound=_OfStory)


@dataclass(frozen=True, slots=True)
class Measured:
    """How well what was taken is told from what was passed over, in stories that were not learnt from.

    Attributes:
        examples: how many choices there are.
        found: in how many of them what was taken is liked more than all else.
        by_chance: how many of them guessing would find.
        deviation: the standard deviation of that.
        loss: nats of a choice.
    """

    examples: int
    found: int
    by_chance: float
    deviation: float
    loss: float

    @property
    def learnt(self) -> bool:
        """Whether guessing would hardly find as many."""
        return self.found > self.by_chance + SURE * self.deviation

    def __str__(self) -> str:
        return f"{self.found:,} of {self.examples:,}, {self.by_chance:,.0f} ± {self.deviation:.0f} by chance"


def measured(choices: Iterable[tuple[int, bool, float]]) -> Measured:
    """Of choices: among how many it was, whether what was taken was found, and the nats that it cost."""
    sizes, found, losses = zip(*choices, strict=True)
    return Measured(
        examples=len(sizes),
        found=sum(found),
        by_chance=sum(1 / size for size in sizes),
        deviation=math.sqrt(sum((1 - 1 / size) / size for size in sizes)),
        loss=sum(losses) / len(losses),
    )


def stories_of(every: Sequence[_Each]) -> list[str]:
    """The stories of choices, in an order that stays while no new ones come.

    Raises LearnError where there are too few to learn anything.
    """
    stories = sorted({each.story_id for each in every}, key=place_of)
    if len(stories) < _STORIES or len(every) < _CHOICES:
        raise LearnError(
            f"{len(every)} decisions in {len(stories)} stories say which text was preferred, and fewer than "
            f"{_CHOICES} in {_STORIES} teach nothing that holds in another story; play on."
        )
    return stories


def split(every: Sequence[_Each]) -> tuple[list[_Each], list[_Each]]:
    """What is learnt from, and what measures it: a fifth of the stories. Raises LearnError as ``stories_of``."""
    stories = stories_of(every)
    measuring = set(stories[-max(1, round(_HELD_OUT * len(stories))) :])
    return (
        [each for each in every if each.story_id not in measuring],
        [each for each in every if each.story_id in measuring],
    )
