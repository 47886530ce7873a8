"""The stories, to go on with or to begin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Footer, OptionList
from textual.widgets.option_list import Option

from fate.core.story import StorySummary
from fate.core.text import harmless
from fate.tui.screens.openings import OpeningsScreen
from fate.tui.widgets.bar import Bar

if TYPE_CHECKING:
    from fate.tui.app import FateApp


class StoryList(OptionList):
    """A list whose enter key has its meaning in the footer."""

    BINDINGS = [Binding("enter", "select", "Open", id="library.open", tooltip="Go on with this story")]


class LibraryScreen(Screen[None]):
    """Every story with its length and when it was last played, the latest first."""

    app: FateApp

    CSS_PATH = "library.tcss"
    BINDINGS = [
        Binding("n", "new", "New story", id="library.new", tooltip="Begin a new story"),
        Binding("question_mark", "app.keys", "Keys", id="library.keys", tooltip="Show what every key does"),
        Binding("q", "app.quit", "Quit", id="library.quit", tooltip="Leave fate"),
    ]

    def compose(self) -> ComposeResult:
        yield Bar("fate")
        yield StoryList(id="stories", markup=False)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        self.watch(self.app, "doing", self._say_doing)
        self.watch(self.app, "engine", self._say_doing)

    def _say_doing(self) -> None:
        self.query_one(Bar).say("your stories" if self.app.engine else f"{self.app.doing} …")

    def on_screen_resume(self) -> None:
        stories = self.app.stories()
        options = self.query_one("#stories", OptionList)
        options.clear_options()
        options.add_option(Option(Content.styled("+ A new story", "bold"), id="new"))
        options.add_options([Option(_line(story), id=story.id) for story in stories])
        options.highlighted = min(1, len(stories))  # enter goes on with the last story
        options.focus()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        if not self.is_current:  # a second key, pressed before the screen could change
            return
        if event.option_id == "new":
            self.action_new()
        elif event.option_id:
            self.app.show_story(event.option_id)

    def action_new(self) -> None:
        self.app.push_screen(OpeningsScreen())


def _line(story: StorySummary) -> Content:
    played = f"{story.played_at.astimezone():%Y-%m-%d %H:%M}"
    return Content.assemble(harmless(story.title), "\n", (f"{story.length} · {played}", "dim"))
