"""The candidates of one choice on the screen, one of them marked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual import work
from textual.app import ComposeResult
from textual.geometry import NULL_OFFSET, NULL_SPACING, Region, Size
from textual.layout import ArrangeResult, Layout, WidgetPlacement
from textual.reactive import var
from textual.widget import Widget

from fate.core.choice import Continuation
from fate.core.errors import FateError
from fate.playthrough import CANDIDATES, Playthrough
from fate.tui.widgets.candidate_card import CandidateCard

if TYPE_CHECKING:
    from fate.tui.app import FateApp


_FAIR = 4  # rows; where there are not so many for each card, the marked one comes first


def heights(room: int, needs: Sequence[int], growing: Sequence[bool], marked: int) -> list[int]:
    """The rows that stacked cards get, in the order of ``needs``.

    Each gets what it needs, and what a short card leaves goes to the longer ones. A text that is still being written
    may come to need everything, so its share is lent to nobody: while texts grow, no height shrinks.

    Args:
        room: rows for all of them together.
        needs: rows that would show each card whole, title included.
        growing: for each card whether its text is still being written.
        marked: the place of the marked card.
    """
    least = 2 if room > 2 * len(needs) else 1  # the title, and a line if there is room
    given = [least] * len(needs)
    wanted = [room if grows else need for need, grows in zip(needs, growing, strict=True)]
    marked_first = room < _FAIR * len(needs)
    for _ in range(room - sum(given)):
        short = [n for n in range(len(needs)) if given[n] < wanted[n]]
        if not short:
            break
        given[marked if marked_first and marked in short else min(short, key=given.__getitem__)] += 1
    return [max(least, min(need, rows)) for need, rows in zip(needs, given, strict=True)]


class Stack(Layout):
    """Cards one below the other, see ``heights``."""

    name = "stack"

    def arrange(self, parent: Widget, children: list[Widget], size: Size, greedy: bool = True) -> ArrangeResult:
        assert isinstance(parent, Candidates)
        cards = [child for child in children if isinstance(child, CandidateCard)]
        needs = [card.need(size.width) for card in cards]
        rows = heights(size.height, needs, [card.growing for card in cards], parent.marked)
        tops = [sum(rows[:n]) for n in range(len(rows))]
        return [
            WidgetPlacement(Region(0, top, size.width, height), NULL_OFFSET, NULL_SPACING, card)
            for card, top, height in zip(cards, tops, rows, strict=True)
        ]


class Candidates(Widget):
    """A card for each place; enter takes the one that is ``marked``. With ``parameters``, how each was sampled."""

    app: FateApp

    parameters = var(False)

    def __init__(self) -> None:
        super().__init__(id="candidates")
        self.marked = 0
        self._rows: tuple[Continuation, ...] = ()
        self._choice_id = ""
        self._playthrough: Playthrough | None = None
        self._revealing: str | None = None  # the choice of which it is being written down

    @property
    def layout(self) -> Layout:
        return self.styles.layout or Stack()

    def compose(self) -> ComposeResult:
        for position in range(CANDIDATES):
            yield CandidateCard(position)

    def on_mount(self) -> None:
        self.mark(0)

    def mark(self, position: int) -> None:
        self.marked = position % CANDIDATES
        for card in self.query(CandidateCard):
            card.mark(card.position == self.marked)
            card.refresh(layout=True)  # see heights

    def scroll_card(self, by: int) -> None:
        self.query(CandidateCard)[self.marked].scroll_relative(y=by)

    def clear(self) -> None:
        self._rows = ()
        for card in self.query(CandidateCard):
            card.clear()

    def show(self, playthrough: Playthrough, choice_id: str, rows: tuple[Continuation, ...]) -> None:
        self._playthrough, self._choice_id, self._rows = playthrough, choice_id, rows
        self.watch_parameters()

    def watch_parameters(self) -> None:
        """Parameters are shown once it is written down that they will have been seen."""
        if self._playthrough is None or not self._rows:
            return
        revealed = self._choice_id in self._playthrough.revealed
        if self.parameters and not revealed and self._choice_id != self._revealing:
            self._reveal(self._playthrough, self._choice_id)
        for card, row in zip(self.query(CandidateCard), self._rows, strict=False):
            card.show(row, parameters=self.parameters and revealed)

    @work
    async def _reveal(self, playthrough: Playthrough, choice_id: str) -> None:
        self._revealing = choice_id
        try:
            await asyncio.to_thread(playthrough.reveal, choice_id)
        except FateError as error:
            self.app.tell_not_kept(error)
            self.parameters = False
        finally:
            self._revealing = None
        self.watch_parameters()


if __name__ == "__main__":
    from fate.tui.widgets._demo import PLAYED, ROWS, show

    show(Candidates, lambda candidates: candidates.show(PLAYED, "choice", ROWS))
