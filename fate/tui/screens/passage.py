"""A passage in the reader's own words, over the story."""

from __future__ import annotations

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import TextArea

from fate.tui.memory import Draft
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
        draft: keeps what is typed, from the first letter on; what it has stands in the editor at first.
        original: what stands there if there is no draft.
    """

    CSS_PATH = "passage.tcss"
    BINDINGS = [
        Binding("enter", "take", "Take it", id="passage.take", tooltip="Put this into the story"),
        Binding("ctrl+j,shift+enter", "line", "New line", id="passage.line", tooltip="Begin a line"),
        Binding("escape", "cancel", "Cancel", id="passage.cancel", tooltip="Back without it"),
    ]

    def __init__(self, title: str, draft: Draft, original: str = "") -> None:
        super().__init__()
        self._title = title
        self._draft = draft
        self._original = original

    def compose(self) -> ComposeResult:
        with Vertical(id="passage") as box:
            box.border_title = self._title
            yield Editor(self._draft.text or self._original, soft_wrap=True, tab_behavior="focus")
        yield KeyBar()

    def on_mount(self) -> None:
        editor = self.query_one(TextArea)
        editor.move_cursor(editor.document.end)
        self.set_focus(editor)  # at once: the next letter is for it

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        text = event.text_area.text
        self._draft.keep("" if text.strip() == self._original.strip() else text)

    def action_take(self) -> None:
        text = self.query_one(TextArea).text
        if text.strip():
            self.dismiss(text)

    def action_line(self) -> None:
        self.query_one(TextArea).insert("\n")

    def action_cancel(self) -> None:
        self.dismiss(None)
