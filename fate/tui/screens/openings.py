"""How a new story begins: one of fate's openings, or the reader's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from fate.openings import openings
from fate.tui.commands import SETTINGS
from fate.tui.widgets.bar import Bar
from fate.tui.widgets.key_bar import KeyBar

if TYPE_CHECKING:
    from fate.tui.app import FateApp


class OpeningList(OptionList):
    """A list whose enter key has its meaning in the footer."""

    BINDINGS = [Binding("enter", "select", "Begin", id="openings.begin", tooltip="Begin with this opening")]


class OpeningInput(Input):
    """One line that takes a pasted opening of several lines as one paragraph."""

    BINDINGS = [Binding("enter", "submit", "Begin", id="openings.submit", tooltip="Begin with what you typed")]

    def on_paste(self, event: events.Paste) -> None:
        self.insert_text_at_cursor(" ".join(event.text.split()))
        event.prevent_default()
        event.stop()


class OpeningsScreen(Screen[None]):
    """A list of openings over a line to type one's own."""

    app: FateApp

    CSS_PATH = "openings.tcss"
    BINDINGS = [
        Binding("o", "own", "Your own", id="openings.own", tooltip="Type an opening of your own"),
        Binding("escape", "back", "Back", id="openings.back", tooltip="Back to where you came from"),
        Binding("question_mark", "app.keys", "Keys", id="openings.keys", tooltip="Show what every key does"),
        Binding("comma", "app.settings", "Settings", id="openings.settings", tooltip=SETTINGS),
    ]

    def compose(self) -> ComposeResult:
        yield Bar("A new story", "how does it begin?")
        yield OpeningList(markup=False)
        yield OpeningInput(placeholder="or press o and type your own beginning")
        yield KeyBar()

    def on_mount(self) -> None:
        self._openings = openings()
        options = self.query_one(OptionList)
        options.add_options(
            Option(Content.assemble((opening.genre, "bold"), "\n", opening.text, "\n")) for opening in self._openings
        )
        options.highlighted = 0
        options.focus()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self._begin(self._openings[event.option_index].text)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if event.value.strip():
            self._begin(event.value)
        else:
            self.query_one(Bar).say("type the first words")

    def action_own(self) -> None:
        self.query_one(Input).focus()

    def action_back(self) -> None:
        if self.query_one(Input).has_focus:
            self.query_one(OptionList).focus()
        else:
            self.app.pop_screen()

    def _begin(self, opening: str) -> None:
        if self.is_current:  # and not a second key, pressed before the screen could change
            self.app.begin_story(opening)
