"""The story so far, as a page."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content

from fate.core.sampling import SamplerSettings
from fate.core.story import Path
from fate.core.text import as_shown
from fate.tui.widgets.prose import Prose


class StoryView(VerticalScroll, can_focus=False):
    """A story's text in a measured line; the newest passage stands out in bold, with its parameters below."""

    _reads_the_end = True  # rather than what was scrolled to
    _drawn_with: SamplerSettings | None = None

    def __init__(self) -> None:
        super().__init__()
        self._page, self._drawn = Prose(id="page"), Prose(id="drawn")

    def compose(self) -> ComposeResult:
        yield self._page
        yield self._drawn

    def show(self, path: Path, at_the_end: str = "") -> None:
        """Show a path; and, if anything is to be said ``at_the_end``, that this is the end."""
        newest = path.passages[-1] if path.passages else ""
        before = path.text.removesuffix(newest) if newest else path.text
        parts: list[Content | tuple[str, str]] = [Content(as_shown(before)), (as_shown(newest), "bold")]
        if at_the_end:
            parts += [("\n\n— the end —\n\n", "italic"), (at_the_end, "dim")]
        self._page.update(Content.assemble(*parts))
        self.tell(None)
        self._to_the_end()

    @property
    def tells(self) -> bool:
        """Whether there is room to say how the newest passage was drawn."""
        return self._drawn.display

    def tell(self, settings: SamplerSettings | None) -> None:
        """Say so, below the page: spelled out, if that fits a line."""
        self._drawn_with = settings
        said = ""
        if settings is not None:
            said = f"drawn with {settings.spelled_out()}"
            if len(said) > self._drawn.size.width:
                said = f"with {settings.summary()}"
        self._drawn.update(said)

    def turn_pages(self, by: int) -> None:
        rows = by * max(1, self.size.height - 1)
        self._reads_the_end = self.scroll_target_y + rows >= self.max_scroll_y
        self.scroll_relative(y=rows)

    def on_mouse_scroll_up(self) -> None:
        self._reads_the_end = False

    def on_mouse_scroll_down(self) -> None:
        self._reads_the_end = self.scroll_target_y >= self.max_scroll_y

    def on_resize(self) -> None:
        self.call_after_refresh(lambda: self.tell(self._drawn_with))
        if self._reads_the_end:
            self._to_the_end()

    def _to_the_end(self) -> None:
        self._reads_the_end = True
        self.call_after_refresh(self.scroll_end, animate=False)


if __name__ == "__main__":
    from fate.tui.widgets._demo import show

    passages = (" Tom touched the wood.", ' "Do not open it," said his sister.\n\n"Why not?" asked Tom.')
    opening = "On the third day Tom and his sister found a door."
    path = Path("story", "The door", opening, passages, "tip")

    def fill(story: StoryView) -> None:
        story.show(path, "r writes on")
        story.tell(SamplerSettings())

    show(StoryView, fill)
