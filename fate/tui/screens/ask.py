"""Small questions over a screen: a line to type, a thing to confirm."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from fate.core.text import as_shown


class LineScreen(ModalScreen[str | None]):
    """One line to type; enter gives it back, escape nothing."""

    CSS_PATH = "ask.tcss"
    BINDINGS = [Binding("escape", "dismiss", "Cancel", id="line.cancel")]

    def __init__(self, title: str, value: str = "") -> None:
        super().__init__()
        self._title = title
        self._value = value

    def compose(self) -> ComposeResult:
        with Vertical(id="ask") as box:
            box.border_title = self._title
            box.border_subtitle = "enter keeps it · escape does not"
            yield Input(self._value, compact=True, select_on_focus=False)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.dismiss(event.value.strip() or None)


class ConfirmScreen(ModalScreen[bool]):
    """A question; only y says yes."""

    CSS_PATH = "ask.tcss"
    BINDINGS = [
        Binding("y", "dismiss(True)", "Yes", id="confirm.yes"),
        Binding("n,escape,q,enter", "dismiss(False)", "No", id="confirm.no"),
    ]

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        with Vertical(id="ask") as box:
            box.border_title = "y yes · n no"
            yield Static(as_shown(self._question), markup=False)
