"""A passage in the reader's own words, over the story."""

from __future__ import annotations

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import TextArea

from fate.tui.widgets.key_bar import KeyBar


class Editor(TextArea):
    """Leaves the keys of its screen alone; they take their turn after letters that came before, however fast."""

    def _on_key(self, event: events.Key) -> None:  # type: ignore[override]  # Textual calls it before TextArea's own
        bound = self.screen.active_bindings.get(event.key)
        if bound is not None and bound.node is self.screen:
            event.prevent_default()


class PassageScreen(ModalScreen[str | None]):
    """An editor; enter gives its text back, escape nothing.

    Args:
        title: what is being written.
        text: what stands in the editor at first.
    """

    CSS_PATH = "passage.tcss"
    BINDINGS = [
        Binding("enter", "take", "Take it", id="passage.take", tooltip="Put this into the story"),
        Binding("ctrl+j,shift+enter", "line", "New line", id="passage.line", tooltip="Begin a line"),
        Binding("escape", "cancel", "Cancel", id="passage.cancel", tooltip="Back without it"),
    ]

    def __init__(self, title: str, text: str = "") -> None:
        super().__init__()
        self._title = title
        self._text = text

    def compose(self) -> ComposeResult:
        with Vertical(id="passage") as box:
            box.border_title = self._title
            yield Editor(self._text, soft_wrap=True, tab_behavior="focus")
        yield KeyBar()

    def on_mount(self) -> None:
        editor = self.query_one(TextArea)
        editor.move_cursor(editor.document.end)
        editor.focus()

    @property
    def changed(self) -> str:
        """What stands in the editor, if it is something else than at first."""
        text = self.query_one(TextArea).text
        return text if text.strip() != self._text.strip() else ""

    def action_take(self) -> None:
        text = self.query_one(TextArea).text
        if text.strip():
            self.dismiss(text)

    def action_line(self) -> None:
        self.query_one(TextArea).insert("\n")

    def action_cancel(self) -> None:
        self.dismiss(None)
