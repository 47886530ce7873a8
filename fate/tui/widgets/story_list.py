"""The stories there are, a line and a note for each, the first line being for one that there is not yet."""

from __future__ import annotations

from collections.abc import Iterable

from textual.binding import Binding
from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from fate.core.story import StorySummary
from fate.core.text import as_shown

NEW = "new"  # the id of the first line


class StoryList(OptionList):
    """Stories in their order, what is archived last; of them, those whose titles hold all the words searched for."""

    BINDINGS = [Binding("enter", "select", "Open", id="library.open", tooltip="Go on with this story")]

    def __init__(self) -> None:
        super().__init__(id="stories", markup=False)
        self._stories: list[StorySummary] = []
        self._shown: dict[str, StorySummary] = {}
        self._words: list[str] = []

    def fill(self, stories: Iterable[StorySummary], mark: str | None = None) -> None:
        """Show these stories.

        The one whose id is ``mark`` is marked, or else the one that was marked before, or what took its place.
        """
        self._stories = sorted(stories, key=lambda story: story.state)  # active before archived
        self._show(mark)

    def search(self, words: str) -> None:
        """Show only titles with all these words, in whatever case."""
        self._words = words.casefold().split()
        self._show()

    @property
    def marked(self) -> StorySummary | None:
        option = self.highlighted_option
        return self._shown.get(option.id or "") if option else None

    @property
    def shows_any(self) -> bool:
        return bool(self._shown)

    def _show(self, mark: str | None = None) -> None:
        marked, place = mark or (self.marked.id if self.marked else ""), self.highlighted or 1
        found = [story for story in self._stories if all(word in story.title.casefold() for word in self._words)]
        self._shown = {story.id: story for story in found}
        self.clear_options()
        self.add_option(Option(Content.styled("+ A new story", "bold"), id=NEW))
        self.add_options([Option(_line(story), id=story.id) for story in found])
        if self._words and not found:
            self.add_option(Option("no title has these words", disabled=True))
        ids = [NEW, *self._shown]
        self.highlighted = ids.index(marked) if marked in ids else min(place, len(found))


def _line(story: StorySummary) -> Content:
    played = f"{story.played_at.astimezone():%Y-%m-%d %H:%M}"
    note = f"{story.length} · {played}{' · archived' if story.state == 'archived' else ''}"
    return Content.assemble(as_shown(story.title), "\n  ", (note, "dim"))


if __name__ == "__main__":
    from datetime import UTC, datetime

    from fate.tui.widgets._demo import show

    played_at = datetime(2026, 1, 1, 20, 15, tzinfo=UTC)
    stories = [
        StorySummary("1", "The door in the snow", 12, 400, played_at),
        StorySummary("2", "The clock in the town square", 3, 100, played_at, "archived"),
    ]
    show(StoryList, lambda listed: listed.fill(stories), screen="library")
