"""The line that asks why a decision was made, and takes a word for an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from textual import work
from textual.widgets import Static

from fate.core.choice import REASONS
from fate.core.errors import FateError
from fate.playthrough import Playthrough

if TYPE_CHECKING:
    from fate.tui.app import FateApp

FIRST_KEY = 4  # 1 to 3 are candidates


class Why(Static):
    """Empty, or the reasons with their keys, or the one that was given; nobody has to answer."""

    app: FateApp

    def __init__(self) -> None:
        super().__init__(id="why", markup=False)

    def ask(self, playthrough: Playthrough, keys: Iterable[str]) -> None:
        """Ask about the decision that was made last, if it can have a reason; there is a key for each."""
        reasons = " ".join(f"{key}\N{NO-BREAK SPACE}{word}" for key, word in zip(keys, REASONS, strict=True))
        self.update(f"why? {reasons}" if playthrough.unexplained else "")

    @work
    async def answer(self, playthrough: Playthrough, which: int) -> None:
        decision_id, playthrough.unexplained = playthrough.unexplained, None
        if decision_id is None:
            return
        try:
            await asyncio.to_thread(playthrough.explain, decision_id, REASONS[which])
        except FateError as error:
            self.app.tell_not_kept(error)
        else:
            self.update(f"why: {REASONS[which]}")


if __name__ == "__main__":
    from fate.tui.widgets._demo import PLAYED, show

    show(Why, lambda why: why.ask(PLAYED, "45678"))
