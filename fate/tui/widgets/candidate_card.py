"""One candidate on the screen."""

from __future__ import annotations

from textual import events
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from fate.core.choice import Continuation
from fate.core.text import harmless


class CandidateCard(VerticalScroll, can_focus=False):
    """The text of one candidate under its key, streaming; its parameters on demand."""

    class Picked(Message):
        """The card was clicked."""

        def __init__(self, position: int) -> None:
            super().__init__()
            self.position = position

    def __init__(self, position: int) -> None:
        super().__init__(id=f"card-{position}")
        self.position = position
        self._note = ""
        self.mark(False)

    def compose(self) -> ComposeResult:
        yield Static(markup=False)

    def mark(self, marked: bool) -> None:
        """The marked card is the one that enter takes."""
        self.set_class(marked, "-marked")
        self._show_title()

    def clear(self) -> None:
        self.query_one(Static).update("")
        self._note = ""
        self._show_title()
        self.scroll_home(animate=False)

    def show(self, row: Continuation, *, parameters: bool) -> None:
        writing = row.finish_reason is None
        text = harmless(row.text.removesuffix("\ufffd") if writing else row.text).lstrip()
        content = Content.assemble(text, ("▏" if writing else "", "dim"))
        if row.finish_reason == "eos":
            content = Content.assemble(text, "\n\n" if text else "", ("— the end —", "italic"))
        self.query_one(Static).update(content)
        self._note = row.settings.summary() if parameters else ""
        self._show_title()

    def _show_title(self) -> None:
        number = f"▶ {self.position + 1}" if self.has_class("-marked") else f"{self.position + 1}"
        self.border_title = f"{number} {self._note}".strip()

    def on_click(self, event: events.Click) -> None:
        event.stop()
        self.post_message(self.Picked(self.position))
