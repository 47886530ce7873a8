"""Which candidate a reader will like, learnt from what readers chose.

How much a text is liked is taken to be a sum of what it has of a few ``TRAITS``, each with its weight, by
``policy.logit``. What a text says is not among them: for that there are too few choices in most databases.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError

from fate.core.choice import Continuation
from fate.core.picking import merit
from fate.core.text import words
from fate.learn.measuring import SURE, LearnError, measured, stories_of
from fate.policy.logit import conditional_logit
from fate.store import Store
from fate.store.store import DELETED
from fate.store.tensors import unpack_outputs

TRAITS = (
    "twice as many words",
    "each token 2.7 times as likely",  # a nat
    "speech",
    "a tenth more of its words from the story",
    "an end of the story",
)
_PLACES = 3  # on the screen; readers may have a liking for one, which is not to be taken for one of a text
_RECENT = 100  # words of a story that a text can take up
_LETTERS = 1000  # at its end, in which they are
_LONG = 4  # letters from which on a word is a story's own, and not one of any text's
_PARTS = 5  # of the stories, each measured by what was learnt from the others
_FAR = 1.96  # standard deviations within which 95 % of a normal distribution lie

_Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Candidates after one prompt, of which a reader chose one."""

    story_id: str
    traits: _Array  # (candidates, TRAITS)
    places: _Array  # where each stood on the screen: 1 there, 0 elsewhere; (candidates, _PLACES)
    merits: list[tuple[float, float]]  # of each, by which the game ranks them
    won: int  # which was chosen


class Ranker:
    """Ranks texts by how much readers will like them.

    Attributes:
        weights: nats for each of ``TRAITS``, by which a text that has one more of it is liked more; (TRAITS,).
        deviations: the standard deviations of what the choices leave open of them; (TRAITS,).
        measured: how well it tells what was chosen in stories that it did not learn from, each story once.
        usual: in how many of these the game's own order does.
        better: whether the ranker does in so many more that it is hardly chance.

    Raises LearnError where there are too few choices.
    """

    def __init__(self, comparisons: Sequence[Comparison]) -> None:
        place = {story_id: n for n, story_id in enumerate(stories_of(comparisons))}
        part = np.array([place[each.story_id] % _PARTS for each in comparisons])
        features, absent, won = _table(comparisons)
        liking = np.empty(absent.shape)
        for number in range(_PARTS):
            weights, _ = _fitted(features[part != number], absent[part != number], won[part != number])
            liking[part == number] = features[part == number, :, : len(TRAITS)] @ weights
        liking[absent] = -np.inf
        every, sizes = np.arange(len(won)), (~absent).sum(1)
        losses = np.logaddexp.reduce(liking, 1) - liking[every, won]
        mine = np.array([_is_first(row.tolist(), n) for row, n in zip(liking, won, strict=True)])
        theirs = np.array([_is_first(each.merits, each.won) for each in comparisons])
        self.measured = measured(zip(sizes.tolist(), mine.tolist(), losses.tolist(), strict=True))
        self.usual = int(theirs.sum())
        more, less = int((mine & ~theirs).sum()), int((theirs & ~mine).sum())
        self.better = self.measured.learnt and more - less > SURE * math.sqrt(more + less)
        self.weights, self.deviations = _fitted(features, absent, won)

    def __str__(self) -> str:
        goes = "`fate auto` goes by it" if self.better else "that is no clear gain, and `fate auto` does not go by it"
        return (
            f"Learnt in other stories, this finds what was chosen in {self.measured}; "
            f"the game's own order finds {self.usual:,}: {goes}."
        )

    def liking(self, story: str, row: Continuation) -> float:
        """How much a text is liked after a story, in nats, in comparison with others there; least if it is empty."""
        if not row.kept:
            return -math.inf
        has = traits(recent(story), row.text, row.logprobs[: row.kept], row.finish_reason == "eos")
        return float(np.dot(self.weights, has))

    def odds(self) -> Iterator[tuple[str, float, float, float]]:
        """Of each of ``TRAITS``, by how much one more of it multiplies the odds to be chosen; with a 95 % interval."""
        for name, weight, deviation in zip(TRAITS, self.weights, self.deviations, strict=True):
            times, low, high = np.exp(weight + deviation * np.array([0.0, -_FAR, _FAR])).tolist()
            yield name, times, low, high


def ranker_of(store: Store) -> Ranker | None:
    """What everybody's choices teach; None where they are too few."""
    try:
        return Ranker(list(comparisons(store)))
    except LearnError:
        return None


def comparisons(store: Store) -> Iterator[Comparison]:
    """Of each choice of which somebody chose a candidate, the last decision that stands and did.

    Several of one choice are not independent, so that one counts. Left out are choices in which a candidate was cut off
    by a key, which says nothing of how long it is liked, or has no tokens, or tensors that cannot be read.
    """
    rows = store.query(
        "SELECT h.id, h.story_id, substr(h.prompt, -?), c.id = d.candidate_id, c.position, c.text, c.output_tensors, "
        "c.kept, c.finish_reason FROM (SELECT choice_id, candidate_id, max(created_at || id) FROM standing_decision "
        "WHERE kind = 'chosen' GROUP BY choice_id) d JOIN choice h ON h.id = d.choice_id "
        "JOIN candidate c ON c.choice_id = h.id "
        f"WHERE c.origin = 'generated' AND h.id NOT IN {DELETED} ORDER BY h.id, c.position",
        _LETTERS,
    )
    for _, offered in groupby(rows, itemgetter(0)):
        _, stories, prompts, chosen, positions, texts, tensors, kept, reasons = zip(*offered, strict=True)
        logprobs = [_logprobs(*each) for each in zip(tensors, kept, strict=True)]
        if 1 in chosen and len(texts) > 1 and all(logprobs) and "cancelled" not in reasons:
            own = recent(prompts[0])
            each = zip(texts, logprobs, reasons, strict=True)
            yield Comparison(
                stories[0],
                np.array([traits(own, text, found, reason == "eos") for text, found, reason in each]),
                np.array([[position == place for place in range(_PLACES)] for position in positions], float),
                [merit(found) for found in logprobs],
                chosen.index(1),
            )


def recent(story: str) -> frozenset[str]:
    """The words of a story that a text can take up."""
    return frozenset(words(story[-_LETTERS:])[-_RECENT:])


def traits(told: frozenset[str], text: str, logprobs: Sequence[float], ends: bool) -> tuple[float, ...]:
    """What a text has of each of ``TRAITS``.

    Args:
        told: the ``recent`` words of the story before it.
        text: of the candidate.
        logprobs: of its tokens under the raw model, in nats; one at least.
        ends: whether the story ends with it.
    """
    long = {word for word in words(text) if len(word) >= _LONG}
    return (
        math.log2(max(1, len(words(text)))),
        sum(logprobs) / len(logprobs),
        float(any(mark in text for mark in '"“„«「『')),
        10 * len(long & told) / max(1, len(long)),
        float(ends),
    )


def _logprobs(tensors: bytes | None, kept: int | None) -> tuple[float, ...]:
    """Of the tokens that a text holds; none where that cannot be told, or they are no numbers."""
    try:
        found = unpack_outputs(tensors or b"")["logprobs"][:kept]
    except (SafetensorError, KeyError):
        return ()
    return found if all(map(math.isfinite, found)) else ()


def _table(some: Sequence[Comparison]) -> tuple[_Array, npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """What ``conditional_logit`` takes."""
    most = max(len(each.traits) for each in some)
    features = np.zeros((len(some), most, len(TRAITS) + _PLACES))
    absent = np.ones((len(some), most), bool)
    for n, each in enumerate(some):
        features[n, : len(each.traits)] = np.concatenate([each.traits, each.places], 1)
        absent[n, : len(each.traits)] = False
    return features, absent, np.array([each.won for each in some])


def _fitted(features: _Array, absent: npt.NDArray[np.bool_], won: npt.NDArray[np.int64]) -> tuple[_Array, _Array]:
    """Weights and deviations of ``TRAITS``; beforehand, one standard deviation of a trait may be liked by a nat or so.

    That is the deviation within comparisons; what differs in none of them has no weight.
    """
    there = ~absent[..., None]
    means = (features * there).sum(1, keepdims=True) / there.sum(1, keepdims=True)
    spread = np.sqrt((np.square(features - means) * there).sum((0, 1)) / there.sum())
    scale = np.where(spread > 0, spread, 1.0)
    mean, covariance = conditional_logit(features / scale, absent, won, np.ones(len(scale)))
    each = slice(len(TRAITS))
    return mean[each] / scale[each], np.sqrt(np.diag(covariance))[each] / scale[each]


def _is_first(likings: Sequence[Any], won: int) -> bool:
    """Whether the one that won is liked more than all others."""
    return all(likings[won] > other for n, other in enumerate(likings) if n != won)
