"""Every alternative of a story, as a tree to step about in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import Tree

from fate.core.errors import FateError
from fate.core.story import Branch, Path
from fate.core.text import as_shown
from fate.tui.widgets.bar import Bar
from fate.tui.widgets.branch_tree import OPENING, BranchTree
from fate.tui.widgets.key_bar import KeyBar
from fate.tui.widgets.prose import Prose

if TYPE_CHECKING:
    from fate.tui.app import FateApp


class TreeScreen(Screen[str | None]):
    """Gives back the id of the text that the reader steps to, ``OPENING`` for the opening, None for nowhere."""

    app: FateApp

    CSS_PATH = "tree.tcss"
    BINDINGS = [
        Binding("escape,b,q", "dismiss(None)", "Back", id="tree.back", tooltip="Back to the story as it is"),
        Binding("question_mark", "app.keys", "Keys", id="tree.keys", tooltip="Show what every key does"),
        Binding("i", "what_if", "What if", id="tree.what-if", tooltip="This text under other settings"),
        Binding(
            "k", "scroll_whole(-1)", "Text up", show=False, id="tree.text-up", tooltip="The whole text, further up"
        ),
        Binding(
            "j", "scroll_whole(1)", "Text down", show=False, id="tree.text-down", tooltip="The whole text, further down"
        ),
        Binding("y", "copy", "Copy", show=False, id="tree.copy", tooltip="Copy this text"),
    ]

    def __init__(self, path: Path, branches: Iterable[Branch], is_at_rest: Callable[[], bool]) -> None:
        super().__init__()
        self._is_at_rest = is_at_rest  # whether the model is free to answer
        self._title = path.title
        self._tree = BranchTree(path, branches)

    def compose(self) -> ComposeResult:
        yield Bar(self._title, "● your path · ○ once taken")
        yield self._tree
        with VerticalScroll(id="whole", can_focus=False):
            yield Prose()
        yield KeyBar()

    def on_mount(self) -> None:
        self._tree.focus()

    @work(exclusive=True)
    async def action_what_if(self) -> None:
        marked = self._tree.marked
        if marked == OPENING:
            return
        if not self._is_at_rest():
            self.query_one(Bar).mention("ask once the candidates are complete")
            return
        try:
            choice = await asyncio.to_thread(self.app.store.choice_of, marked)
        except FateError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        candidate = next((c for c in choice.candidates if c.id == marked), None)
        if candidate is None:
            self.query_one(Bar).mention("written by hand, not drawn")
        else:
            self.app.show_what_if(choice, candidate)

    def on_tree_node_highlighted(self, event: Tree.NodeHighlighted[str]) -> None:
        """A line of the tree is cut; the whole text stands below it."""
        event.stop()
        whole = self.query_one("#whole", VerticalScroll)
        whole.query_one(Prose).update(as_shown(self._tree.texts[event.node.data or OPENING]).strip() or "(the end)")
        whole.scroll_home(animate=False)

    def action_scroll_whole(self, by: int) -> None:
        self.query_one("#whole", VerticalScroll).scroll_relative(y=by)

    def action_copy(self) -> None:
        self.app.copy("this text", self._tree.texts[self._tree.marked].strip())

    def on_tree_node_selected(self, event: Tree.NodeSelected[str]) -> None:
        event.stop()
        self.dismiss(event.node.data)
