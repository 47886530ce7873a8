"""Stories that fate writes by itself."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from fate.core.choice import Candidate
from fate.core.picking import Picker

if TYPE_CHECKING:
    from fate.learn.ranker import Ranker
    from fate.playthrough import Playthrough


def write(playthrough: Playthrough, choices: int, ranker: Ranker | None = None) -> Iterator[str]:
    """Go on with a story; yields each passage once it is kept.

    Three candidates are offered at each choice as they would be to a reader, and the one is taken that the game would
    pick of several texts, ranked by how much readers will like them where a ranker tells that better. Ends after as
    many choices, or where the story does: but not in its first half, while a candidate goes on.
    """
    liked = ranker if ranker and ranker.better else None
    for step in range(choices):
        *_, last = playthrough.offer()
        assert last.choice is not None
        candidates = last.choice.candidates
        if step < choices // 2:
            candidates = tuple(c for c in candidates if not _ends(c)) or candidates
        rows, story = [c.written for c in candidates], playthrough.path.text
        best = Picker(story).pick(rows, (), partial(liked.liking, story) if liked else None)
        taken = candidates[rows.index(best)]
        playthrough.go_on(last.choice, taken)
        yield taken.written.text
        if _ends(taken):
            return


def _ends(candidate: Candidate) -> bool:
    return candidate.written.finish_reason == "eos"
