"""The candidates of one choice on the screen, one of them marked."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from textual import work
from textual.app import ComposeResult
from textual.layout import Layout
from textual.reactive import var
from textual.widget import Widget

from fate.core.choice import Continuation
from fate.core.errors import FateError
from fate.playthrough import CANDIDATES, Playthrough
from fate.tui.stack import Stack
from fate.tui.widgets.candidate_card import CandidateCard

if TYPE_CHECKING:
    from fate.tui.app import FateApp


class Candidates(Widget):
    """A card for each place; enter takes the one that is ``marked``. With ``parameters``, how each was sampled."""

    app: FateApp

    parameters = var(False)

    def __init__(self) -> None:
        super().__init__(id="candidates")
        self.marked = 0
        self.pointed_at: int | None = None  # where the reader has moved the mark
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
        self.marked, self.pointed_at = position % CANDIDATES, None
        for card in self.query(CandidateCard):
            card.mark(card.position == self.marked)
            card.refresh(layout=True)  # see Stack

    def move(self, by: int) -> None:
        """The reader moves the mark."""
        self.mark(self.marked + by)
        self.pointed_at = self.marked

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
