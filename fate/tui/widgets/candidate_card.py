"""One candidate on the screen."""

from __future__ import annotations

from textual import events
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.geometry import Size
from textual.message import Message

from fate.core.choice import Continuation
from fate.core.text import as_shown
from fate.tui.widgets.prose import Prose


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
        self.growing = False  # whether its text is still being written
        self._need = (0, 0)  # a width, and the most rows that this text has needed there
        self._note = ""
        self.mark(False)

    def compose(self) -> ComposeResult:
        yield Prose()

    def mark(self, marked: bool) -> None:
        """The marked card is the one that enter takes."""
        self.set_class(marked, "-marked")
        if not marked:
            self.scroll_home(animate=False)
        self._show_title()

    def clear(self) -> None:
        self.query_one(Prose).update("")
        self.growing, self._need, self._note = True, (0, 0), ""
        self._show_title()
        self.scroll_home(animate=False)

    def show(self, row: Continuation, *, parameters: bool) -> None:
        self.growing = row.finish_reason is None
        text = as_shown(row.text.removesuffix("\ufffd") if self.growing else row.text).lstrip()
        content = Content.assemble(text, ("▏" if self.growing else "", "dim"))
        if row.finish_reason == "eos":
            content = Content.assemble(text, "\n\n" if text else "", ("— the end —", "italic"))
        self.query_one(Prose).update(content)
        self._note = row.settings.summary() if parameters else ""
        self._show_title()

    def need(self, width: int) -> int:
        """Rows that show the card whole at a width; no fewer than before, though a text may end a word shorter."""
        text = self.query_one(Prose).get_content_height(
            Size(width, 0), self.app.viewport_size, width - self.gutter.width
        )
        before = self._need[1] if self._need[0] == width else 0
        self._need = (width, max(before, self.styles.gutter.height + text))
        return self._need[1]

    def _show_title(self) -> None:
        number = f"▶ {self.position + 1}" if self.has_class("-marked") else f"{self.position + 1}"
        has_footer = bool(self.styles.border_bottom[0])  # cards that stand one below the other do not
        self.border_title = number if has_footer else f"{number} {self._note}".strip()
        self.border_subtitle = self._note

    on_resize = _show_title

    def on_click(self, event: events.Click) -> None:
        event.stop()
        self.post_message(self.Picked(self.position))


if __name__ == "__main__":
    from fate.tui.widgets._demo import ROWS, show

    show(lambda: CandidateCard(0), lambda card: card.show(ROWS[0], parameters=True))
