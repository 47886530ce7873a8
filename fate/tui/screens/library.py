"""The stories, to go on with, to begin, and to put in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.screen import Screen
from textual.widgets import Input, OptionList

from fate.core.errors import FateError
from fate.core.story import StoryState
from fate.core.text import harmless
from fate.tui.commands import DATA, SETTINGS
from fate.tui.screens.ask import ConfirmScreen, LineScreen
from fate.tui.screens.openings import OpeningsScreen
from fate.tui.widgets.bar import Bar
from fate.tui.widgets.key_bar import KeyBar
from fate.tui.widgets.story_list import NEW, StoryList

if TYPE_CHECKING:
    from fate.tui.app import FateApp


class LibraryScreen(Screen[None]):
    """Every story with its length and when it was last played, the latest first; what is archived comes last."""

    app: FateApp

    CSS_PATH = "library.tcss"
    BINDINGS = [
        Binding("n", "new", "New story", id="library.new", tooltip="Begin a new story"),
        Binding("slash", "search", "Search", id="library.search", tooltip="Show only titles with these words"),
        Binding("question_mark", "app.keys", "Keys", id="library.keys", tooltip="Show what every key does"),
        Binding("c", "app.data", "Choices", id="library.data", tooltip=DATA),
        Binding("comma", "app.settings", "Settings", id="library.settings", tooltip=SETTINGS),
        Binding("q", "app.quit", "Quit", id="library.quit", tooltip="Leave fate"),
        Binding("m", "rename", "Rename", id="library.rename", tooltip="Give the story another title"),
        Binding("a", "archive", "Archive", id="library.archive", tooltip="Archive it, or bring it back"),
        Binding("d", "delete", "Delete", id="library.delete", tooltip="Delete it, after a question"),
        Binding("y", "copy", "Copy", show=False, id="library.copy", tooltip="Copy the story"),
        Binding("s", "save('md')", "Save", id="library.save", tooltip="Save the story as a Markdown file here"),
        Binding("S", "save('txt')", "Save", show=False, id="library.save-text", tooltip="Save it as plain text here"),
        Binding("escape", "all", "All", show=False, id="library.all", tooltip="Show every story again"),
    ]

    def compose(self) -> ComposeResult:
        yield Bar("fate")
        yield Input(placeholder="words of a title", compact=True)
        yield StoryList()
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one(Input).display = False
        self.watch(self.app, "doing", self._say_doing)
        self.watch(self.app, "engine", self._say_doing)

    def _say_doing(self) -> None:
        self.query_one(Bar).say("your stories" if self.app.engine else f"{self.app.doing} …")

    # --- the list ---------------------------------------------------------------------------------

    def on_screen_resume(self) -> None:
        self._read(mark=self.app.left)
        self.app.left = None
        self._stories.focus()

    def _read(self, mark: str | None = None) -> None:
        self._stories.fill(self.app.stories(), mark)

    @property
    def _stories(self) -> StoryList:
        return self.query_one(StoryList)

    def on_input_changed(self, event: Input.Changed) -> None:
        self._stories.search(event.value)
        self._say_doing()

    def on_input_submitted(self) -> None:
        if self._stories.shows_any:  # else enter again would begin a new story
            self._stories.focus()

    def action_search(self) -> None:
        self.query_one(Input).display = True
        self.query_one(Input).focus()

    def action_all(self) -> None:
        self.query_one(Input).clear()
        self.query_one(Input).display = False
        self._stories.focus()

    # --- a story ----------------------------------------------------------------------------------

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        if not self.is_current:  # a second key, pressed before the screen could change
            return
        if event.option_id == NEW:
            self.action_new()
        elif event.option_id:
            self.app.show_story(event.option_id)

    def action_new(self) -> None:
        self.app.push_screen(OpeningsScreen())

    @work
    async def action_rename(self) -> None:
        if story := self._stories.marked:
            title = await self.app.push_screen_wait(LineScreen("Another title", harmless(story.title)))
            if title:
                await self._change(partial(self.app.store.rename, story.id, title))

    @work
    async def action_archive(self) -> None:
        if story := self._stories.marked:
            state: StoryState = "active" if story.state == "archived" else "archived"
            await self._change(partial(self.app.store.put, story.id, state))

    @work
    async def action_delete(self) -> None:
        if story := self._stories.marked:
            question = f"Delete “{story.title}”? It leaves this list and every export."
            if await self.app.push_screen_wait(ConfirmScreen(question)):
                await self._change(partial(self.app.store.put, story.id, "deleted"))

    @work
    async def action_copy(self) -> None:
        if story := self._stories.marked:
            try:
                path = await asyncio.to_thread(self.app.store.path, story.id)
            except FateError as error:
                self.notify(str(error), severity="error", markup=False)
            else:
                self.app.copy(f"the story “{story.title}”", path.text)

    def action_save(self, suffix: str) -> None:
        if story := self._stories.marked:
            self.app.save_story(story.id, suffix)

    async def _change(self, change: Callable[[], None]) -> None:
        try:
            await asyncio.to_thread(change)
        except FateError as error:
            self.app.tell_not_kept(error)
        else:
            self._read()
