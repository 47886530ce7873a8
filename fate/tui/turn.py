"""One turn of the game: three candidates, from the first word of them to the reader's answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from fate.core.choice import Choice, Continuation, DecisionKind
from fate.playthrough import Answer, Offer, Playthrough
from fate.tui.messages import REPAINT

GRACE = 0.25  # seconds that new candidates are on screen before they take keys


class Turn:
    """What has been offered, and what the reader wants with it.

    It is the screen's, but for ``offers``: that runs in a thread and heeds ``paused``, ``cut`` and ``wish``.

    Args:
        number: counts the turns of one visit to a story; what an earlier one has to say comes too late.
    """

    def __init__(self, number: int = 0) -> None:
        self.number = number
        self.rows: tuple[Continuation, ...] = ()  # the candidates on the screen
        self.choice: Choice | None = None  # theirs, once they are complete and on disk
        self.wish: Answer | None = None  # given before they were complete
        self.paused = False
        self.cut = False  # they shall end where they are
        self._takes_keys = 0.0  # when their grace is over

    @property
    def takes_keys(self) -> bool:
        return bool(self.rows) and time.monotonic() >= self._takes_keys

    def show(self, offer: Offer) -> None:
        if not self.rows:
            self._takes_keys = time.monotonic() + GRACE
        self.rows, self.choice = offer.rows, offer.choice

    def answer(self, kind: DecisionKind, position: int, text: str) -> Answer:
        """An answer given now; in no time, if it was given before there was anything to read."""
        read = time.monotonic() - self._takes_keys if self.rows else 0.0
        return Answer(kind, position, text, max(0, round(read * 1000)))

    def offers(self, playthrough: Playthrough, cancelled: Callable[[], bool]) -> Iterator[Offer]:
        """The candidates as they grow, as often as a screen can show them; the last offer has its choice."""

        def stop() -> bool:
            return bool(self.rows) and (self.wish is not None or self.cut)  # nobody is offered nothing

        shown = 0.0
        for offer in playthrough.offer(stop):
            if offer.rows and (offer.choice or self.paused or time.monotonic() - shown >= REPAINT):
                shown = time.monotonic()
                yield offer
            while self.paused and not (cancelled() or stop()):
                time.sleep(REPAINT)
            if cancelled():
                return
