"""The line at the top: where the reader is, and what is going on."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.timer import Timer
from textual.widgets import Static

from fate.core.text import as_shown

_READ = 3.0  # seconds


class Bar(Horizontal):
    """A title on the left, a state on the right."""

    def __init__(self, title: str, state: str = "") -> None:
        super().__init__(id="bar")
        self._title = title
        self._state = state
        self._mentioning: Timer | None = None

    def compose(self) -> ComposeResult:
        yield Static(as_shown(self._title), id="title", markup=False)
        yield Static(as_shown(self._state), id="state", markup=False)

    def say(self, state: str) -> None:
        self._state = state
        if self._mentioning:
            self._mentioning.stop()
        self._show(state)

    def mention(self, words: str) -> None:
        """Say something in place of the state, for as long as it takes to read."""
        self.say(self._state)
        self._show(words)
        self._mentioning = self.set_timer(_READ, lambda: self._show(self._state))

    def _show(self, words: str) -> None:
        self.query_one("#state", Static).update(as_shown(words))


if __name__ == "__main__":
    from fate.tui.widgets._demo import show

    show(lambda: Bar("The door in the snow", "choice 3 · which one?"))
