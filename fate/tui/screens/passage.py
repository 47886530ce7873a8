"""A passage in the reader's own words, over the story."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Footer, TextArea


class PassageScreen(ModalScreen[str | None]):
    """An editor; enter gives its text back, escape nothing.

    Args:
        title: what is being written.
        text: what stands in the editor at first.
    """

    CSS_PATH = "passage.tcss"
    BINDINGS = [
        # Before the editor, which would begin a line.
        Binding("enter", "take", "Take it", id="passage.take", tooltip="Put this into the story", priority=True),
        Binding("ctrl+j,shift+enter", "line", "New line", id="passage.line", tooltip="Begin a line", priority=True),
        Binding("escape", "cancel", "Cancel", id="passage.cancel", tooltip="Back without it", priority=True),
    ]

    def __init__(self, title: str, text: str = "") -> None:
        super().__init__()
        self._title = title
        self._text = text

    def compose(self) -> ComposeResult:
        with Vertical(id="passage") as box:
            box.border_title = self._title
            yield TextArea(self._text, soft_wrap=True, tab_behavior="focus")
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        editor = self.query_one(TextArea)
        editor.move_cursor(editor.document.end)
        editor.focus()

    def action_take(self) -> None:
        text = self.query_one(TextArea).text
        if text.strip():
            self.dismiss(text)

    def action_line(self) -> None:
        self.query_one(TextArea).insert("\n")

    def action_cancel(self) -> None:
        self.dismiss(None)
