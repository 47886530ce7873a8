"""The stories, to go on with, to begin, and to put in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Footer, Input, OptionList
from textual.widgets.option_list import Option

from fate.core.errors import FateError
from fate.core.story import StoryState, StorySummary
from fate.core.text import as_shown, harmless
from fate.tui.commands import DATA, SETTINGS
from fate.tui.screens.ask import ConfirmScreen, LineScreen
from fate.tui.screens.openings import OpeningsScreen
from fate.tui.widgets.bar import Bar

if TYPE_CHECKING:
    from fate.tui.app import FateApp


class StoryList(OptionList):
    """A list whose enter key has its meaning in the footer."""

    BINDINGS = [Binding("enter", "select", "Open", id="library.open", tooltip="Go on with this story")]


class LibraryScreen(Screen[None]):
    """Every story with its length and when it was last played, the latest first; what is archived comes last."""

    app: FateApp

    CSS_PATH = "library.tcss"
    BINDINGS = [
        Binding("n", "new", "New story", id="library.new", tooltip="Begin a new story"),
        Binding("slash", "search", "Search", id="library.search", tooltip="Show only titles with these words"),
        Binding("c", "app.data", "Choices", id="library.data", tooltip=DATA),
        Binding("comma", "app.settings", "Settings", id="library.settings", tooltip=SETTINGS),
        Binding("question_mark", "app.keys", "Keys", id="library.keys", tooltip="Show what every key does"),
        Binding("q", "app.quit", "Quit", id="library.quit", tooltip="Leave fate"),
        Binding("m", "rename", "Rename", id="library.rename", tooltip="Give the story another title"),
        Binding("a", "archive", "Archive", id="library.archive", tooltip="Archive it, or bring it back"),
        Binding("d", "delete", "Delete", id="library.delete", tooltip="Delete it, after a question"),
        Binding("y", "copy", "Copy", show=False, id="library.copy", tooltip="Copy the story"),
        Binding("s", "save('md')", "Save", id="library.save", tooltip="Save the story as a Markdown file here"),
        Binding("S", "save('txt')", "Save", show=False, id="library.save-text", tooltip="Save it as plain text here"),
        Binding("escape", "all", "All", show=False, id="library.all", tooltip="Show every story again"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._all: list[StorySummary] = []
        self._stories: dict[str, StorySummary] = {}  # those that are shown

    def compose(self) -> ComposeResult:
        yield Bar("fate")
        yield Input(placeholder="words of a title", compact=True)
        yield StoryList(id="stories", markup=False)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        self.query_one(Input).display = False
        self.watch(self.app, "doing", self._say_doing)
        self.watch(self.app, "engine", self._say_doing)

    def _say_doing(self) -> None:
        self.query_one(Bar).say("your stories" if self.app.engine else f"{self.app.doing} …")

    # --- the list ---------------------------------------------------------------------------------

    def on_screen_resume(self) -> None:
        self._read(self.app.left)
        self.app.left = None
        self.query_one(StoryList).focus()

    def on_input_changed(self) -> None:
        self._list()
        self._say_doing()

    def on_input_submitted(self) -> None:
        if self._stories:
            self.query_one(StoryList).focus()
        else:  # enter again would begin a new story
            self.query_one(Bar).say("no title has these words")

    def _read(self, mark: str | None = None) -> None:
        self._all = sorted(self.app.stories(), key=lambda story: story.state)  # active before archived
        self._list(mark)

    def _list(self, mark: str | None = None) -> None:
        """Show the stories whose titles hold all the words that are searched for, in whatever case.

        Enter goes on with the story of ``mark``, or else the one that was marked before, or what took its place.
        """
        wanted = self.query_one(Input).value.casefold().split()
        self._stories = {
            story.id: story for story in self._all if all(word in story.title.casefold() for word in wanted)
        }
        options = self.query_one(StoryList)
        marked, place = mark or (story.id if (story := self._marked()) else ""), options.highlighted or 1
        options.clear_options()
        options.add_option(Option(Content.styled("+ A new story", "bold"), id="new"))
        options.add_options([Option(_line(story), id=story.id) for story in self._stories.values()])
        ids = ["new", *self._stories]
        options.highlighted = ids.index(marked) if marked in ids else min(place, len(self._stories))

    def _marked(self) -> StorySummary | None:
        option = self.query_one(StoryList).highlighted_option
        return self._stories.get(option.id or "") if option else None

    def action_search(self) -> None:
        self.query_one(Input).display = True
        self.query_one(Input).focus()

    def action_all(self) -> None:
        self.query_one(Input).clear()
        self.query_one(Input).display = False
        self.query_one(StoryList).focus()

    # --- a story ----------------------------------------------------------------------------------

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        if not self.is_current:  # a second key, pressed before the screen could change
            return
        if event.option_id == "new":
            self.action_new()
        elif event.option_id:
            self.app.show_story(event.option_id)

    def action_new(self) -> None:
        self.app.push_screen(OpeningsScreen())

    @work
    async def action_rename(self) -> None:
        if story := self._marked():
            title = await self.app.push_screen_wait(LineScreen("Another title", harmless(story.title)))
            if title:
                await self._change(partial(self.app.store.rename, story.id, title))

    @work
    async def action_archive(self) -> None:
        if story := self._marked():
            state: StoryState = "active" if story.state == "archived" else "archived"
            await self._change(partial(self.app.store.put, story.id, state))

    @work
    async def action_delete(self) -> None:
        if story := self._marked():
            question = f"Delete “{story.title}”? It leaves this list and every export."
            if await self.app.push_screen_wait(ConfirmScreen(question)):
                await self._change(partial(self.app.store.put, story.id, "deleted"))

    @work
    async def action_copy(self) -> None:
        if story := self._marked():
            try:
                path = await asyncio.to_thread(self.app.store.path, story.id)
            except FateError as error:
                self.notify(str(error), severity="error", markup=False)
            else:
                self.app.copy(f"the story “{story.title}”", path.text)

    def action_save(self, suffix: str) -> None:
        if story := self._marked():
            self.app.save_story(story.id, suffix)

    async def _change(self, change: Callable[[], None]) -> None:
        try:
            await asyncio.to_thread(change)
        except FateError as error:
            self.app.tell_not_kept(error)
        else:
            self._read()


def _line(story: StorySummary) -> Content:
    played = f"{story.played_at.astimezone():%Y-%m-%d %H:%M}"
    note = f"{story.length} · {played}{' · archived' if story.state == 'archived' else ''}"
    return Content.assemble(as_shown(story.title), "\n  ", (note, "dim"))
