"""Which candidate a reader will like, learnt from what readers chose.

How much a text is liked is taken to be a sum of what it has of a few ``TRAITS``, each weighed, by ``policy.logit``.
What a text says is not among them: a hundred choices can teach these weights, and nothing of so many words.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fate.core.choice import Continuation
from fate.core.text import words
from fate.learn.measuring import LearnError, Measured, measured, stories_of
from fate.policy.logit import conditional_logit
from fate.store import Store
from fate.store.records import Record, Row
from fate.store.tensors import unpack_outputs

TRAITS = (
    "twice as many words",
    "likelier by a nat a token",
    "speech",
    "a tenth more words of the story",
    "an end of the story",
)
_PLACES = 3  # on the screen; readers may have a liking for one, which is not to be taken for one of a text
_RECENT = 100  # words of a story that a text can take up
_LONG = 4  # letters from which on a word is a story's own, and not one of any text's
_FAR = 1.96  # standard deviations between which 95 % of a normal distribution lie
_PARTS = 5  # of the stories, each measured by what was learnt from the others

_Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Contest:
    """A decision that chose one of several candidates."""

    story_id: str
    traits: _Array  # (candidates, TRAITS)
    places: _Array  # where each stood on the screen: 1 there, 0 elsewhere; (candidates, _PLACES)
    won: int  # which was chosen


class Ranker:
    """Ranks texts by how much readers will like them.

    Attributes:
        weights: nats for each of ``TRAITS``, by which a text that has one more of it is liked more; (TRAITS,).
        deviations: the standard deviations of what the choices leave open of them; (TRAITS,).
        choices: how many it learnt from.
        measured: how well it tells what was chosen in stories that it did not learn from, over all stories.

    Raises LearnError where there are too few choices.
    """

    def __init__(self, contests: Sequence[Contest]) -> None:
        stories = stories_of(contests)
        part = {story_id: n % _PARTS for n, story_id in enumerate(stories)}
        told = []
        for number in range(_PARTS):
            weights, _ = _fitted([each for each in contests if part[each.story_id] != number])
            for contest in contests:
                if part[contest.story_id] == number:
                    told.append(_told(weights, contest))
        self.measured: Measured = measured(told)
        self.weights, self.deviations = _fitted(contests)
        self.choices = len(contests)

    def liking(self, story: str, row: Continuation) -> float:
        """How much a text is liked after a story, in nats, in comparison with others there."""
        has = traits(story, row.text, row.logprobs[: row.kept], row.finish_reason == "eos")
        return float(np.dot(self.weights, has))

    def odds(self) -> Iterator[tuple[str, float, float, float]]:
        """Of each of ``TRAITS``, by how much one more of it multiplies the odds to be chosen; with a 95 % interval."""
        for name, weight, deviation in zip(TRAITS, self.weights, self.deviations, strict=True):
            times, low, high = np.exp(weight + deviation * np.array([0.0, -_FAR, _FAR])).tolist()
            yield name, times, low, high


def ranker_of(store: Store) -> Ranker | None:
    """What everybody's choices teach; None where they are too few."""
    try:
        return Ranker(contests(store))
    except LearnError:
        return None


def contests(store: Store, annotators: Sequence[str] = ()) -> list[Contest]:
    """Every standing decision that chose one of several candidates; of these annotators, or of everybody."""
    return [
        contest
        for batch in store.batches(annotators=annotators)
        for record in batch.records()
        for contest in _of(record)
    ]


def traits(story: str, text: str, logprobs: Sequence[float], ends: bool) -> tuple[float, ...]:
    """What a text after a story has of each of ``TRAITS``.

    Args:
        story: what stands before it, or the end of that.
        text: of the candidate.
        logprobs: of its tokens under the raw model, in nats.
        ends: whether the story ends with it.
    """
    own = {word for word in words(text) if len(word) >= _LONG}
    told = own.intersection(words(story)[-_RECENT:])
    return (
        math.log2(max(1, len(words(text)))),
        sum(logprobs) / max(1, len(logprobs)),
        float(any(mark in text for mark in '"“„«「')),
        10 * len(told) / max(1, len(own)),
        float(ends),
    )


def _of(record: Record) -> Iterator[Contest]:
    offered = [row for row in record.candidates if row["origin"] == "generated"]
    ids = [row["id"] for row in offered]
    for decision in record.standing():
        if decision["kind"] == "chosen" and decision["candidate_id"] in ids and len(ids) > 1:
            yield Contest(
                record.choice["story_id"],
                np.array([_traits(record.choice["prompt"], row) for row in offered]),
                np.array([[row["position"] == place for place in range(_PLACES)] for row in offered], float),
                ids.index(decision["candidate_id"]),
            )


def _traits(story: str, row: Row) -> tuple[float, ...]:
    logprobs = unpack_outputs(row["output_tensors"])["logprobs"][: row["kept"]]
    return traits(story, row["text"], logprobs, row["finish_reason"] == "eos")


def _fitted(some: Sequence[Contest]) -> tuple[_Array, _Array]:
    """Weights and deviations of ``TRAITS``."""
    most = max(len(contest.traits) for contest in some)
    features = np.zeros((len(some), most, len(TRAITS) + _PLACES))
    absent = np.ones((len(some), most), bool)
    for n, contest in enumerate(some):
        features[n, : len(contest.traits)] = np.concatenate([contest.traits, contest.places], 1)
        absent[n, : len(contest.traits)] = False
    won = np.array([contest.won for contest in some])
    mean, covariance = conditional_logit(features, absent, won, np.ones(features.shape[2]))
    return mean[: len(TRAITS)], np.sqrt(np.diag(covariance))[: len(TRAITS)]


def _told(weights: _Array, contest: Contest) -> tuple[int, bool, float]:
    """As ``measured`` takes it."""
    liking = contest.traits @ weights
    others = np.delete(liking, contest.won)
    return (
        len(liking),
        bool(liking[contest.won] > others.max()),
        float(np.logaddexp.reduce(liking) - liking[contest.won]),
    )
