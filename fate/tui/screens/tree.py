"""Every alternative of a story, as a tree to step about in."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import Footer, Static, Tree
from textual.widgets.tree import TreeNode

from fate.core.errors import FateError
from fate.core.story import Branch, Path
from fate.core.text import as_shown
from fate.tui.widgets.bar import Bar

if TYPE_CHECKING:
    from fate.tui.app import FateApp

OPENING = "opening"  # what is given back for the beginning of the story
_LONGEST = 200  # letters of a text in a line; the line is cut where the screen ends


class BranchTree(Tree[str]):
    """A tree whose enter key has its meaning in the footer."""

    BINDINGS = [
        Binding("enter", "select_cursor", "Go on from here", id="tree.step", tooltip="Play on from this text"),
        Binding("space", "toggle_node", "Open, close", id="tree.toggle", tooltip="Show or hide what follows"),
    ]


class TreeScreen(Screen[str | None]):
    """Gives back the id of the text that the reader steps to, ``OPENING`` for the opening, None for nowhere.

    A line of play stands flat, choice under choice, however long it is; only what branches off is set in.
    """

    app: FateApp

    CSS_PATH = "tree.tcss"
    BINDINGS = [
        Binding("escape,b,q", "dismiss(None)", "Back", id="tree.back", tooltip="Back to the story as it is"),
        Binding("i", "what_if", "What if", id="tree.what-if", tooltip="This text under other settings"),
        Binding(
            "k", "scroll_whole(-1)", "Text up", show=False, id="tree.text-up", tooltip="The whole text, further up"
        ),
        Binding(
            "j", "scroll_whole(1)", "Text down", show=False, id="tree.text-down", tooltip="The whole text, further down"
        ),
        Binding("y", "copy", "Copy", show=False, id="tree.copy", tooltip="Copy this text"),
        Binding("question_mark", "app.keys", "Keys", id="tree.keys", tooltip="Show what every key does"),
    ]

    def __init__(self, path: Path, branches: Iterable[Branch]) -> None:
        super().__init__()
        self._path = path
        self._after: dict[str | None, dict[str, list[Branch]]] = defaultdict(lambda: defaultdict(list))
        self._parents: dict[str, str | None] = {}
        self._texts = {OPENING: path.opening}
        self._last: dict[str | None, int] = {}  # after each text, the number of the last that was offered there
        for number, branch in enumerate(branches):
            self._after[branch.parent_id][branch.choice_id].append(branch)
            self._last[branch.parent_id] = number
            self._parents[branch.id] = branch.parent_id
            self._texts[branch.id] = branch.text
        self._tip: TreeNode[str] | None = None  # where the reader stands
        self._on_path: set[str] = set()
        above = path.tip_id
        while above is not None:
            self._on_path.add(above)
            above = self._parents.get(above)

    def compose(self) -> ComposeResult:
        yield Bar(self._path.title, "● your path · ○ once taken")
        tree = BranchTree(Text(_line(self._path.opening), style="bold"), data=OPENING)
        tree.guide_depth = 2
        yield tree
        with VerticalScroll(id="whole", can_focus=False):
            yield Static(markup=False)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        tree = self.query_one(BranchTree)
        self._add(tree.root, None)
        tree.root.expand()
        tree.focus()
        self.call_after_refresh(self._go_to_tip)

    def _go_to_tip(self) -> None:
        tree = self.query_one(BranchTree)
        tree.move_cursor(self._tip or tree.root)
        tree.scroll_to_node(self._tip or tree.root, animate=False)

    def _add(self, node: TreeNode[str], parent_id: str | None) -> None:
        """Put a line of play under a node: the choices after a text, after the main one of theirs, and so on."""
        while parent_id in self._after:
            main = self._main(parent_id)
            for offered in sorted(self._after[parent_id].values(), key=lambda texts: main in texts):
                for branch in offered:
                    label = self._label(branch, first=branch is offered[0])
                    shown = node.add(label, data=branch.id, allow_expand=False)
                    if branch.id == self._path.tip_id:
                        self._tip = shown
                    if branch is not main and branch.id in self._after:
                        shown.allow_expand = True
                        self._add(shown, branch.id)
            if main is None:
                return
            parent_id = main.id

    def _main(self, parent_id: str | None) -> Branch | None:
        """The text with which the line goes on: the one on the path, else the one that was gone on from last."""
        offered = [branch for choice in self._after[parent_id].values() for branch in choice]
        on_path = [branch for branch in offered if branch.id in self._on_path]
        continued = sorted((b for b in offered if b.id in self._last), key=lambda b: self._last[b.id])
        return next(iter(on_path or continued[-1:]), None)

    def _label(self, branch: Branch, *, first: bool) -> Text:
        """The line of a text; the number of its choice stands before the first of those that were offered together."""
        on_path = branch.id in self._on_path
        sign = "●" if on_path else "○" if branch.taken else "·"
        hand = "" if branch.origin == "generated" else f"({branch.origin}) "
        number = f"{branch.step + 1}"
        said = f"{number if first else ' ' * len(number)} {sign} {hand}{_line(branch.text) or '(the end)'}"
        return Text(said, style="bold" if on_path else "")

    @work(exclusive=True)
    async def action_what_if(self) -> None:
        node = self.query_one(BranchTree).cursor_node
        if node is None or node.data not in self._parents:
            return
        try:
            choice = await asyncio.to_thread(self.app.store.choice_of, node.data)
        except FateError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        candidate = next((c for c in choice.candidates if c.id == node.data), None)
        if candidate is None:
            self.query_one(Bar).mention("written by hand, not drawn")
        else:
            self.app.show_what_if(choice, candidate)

    def on_tree_node_highlighted(self, event: Tree.NodeHighlighted[str]) -> None:
        """A line of the tree is cut; the whole text stands below it."""
        event.stop()
        whole = self.query_one("#whole", VerticalScroll)
        whole.query_one(Static).update(as_shown(self._texts[event.node.data or OPENING]).strip() or "(the end)")
        whole.scroll_home(animate=False)

    def action_scroll_whole(self, by: int) -> None:
        self.query_one("#whole", VerticalScroll).scroll_relative(y=by)

    def action_copy(self) -> None:
        node = self.query_one(BranchTree).cursor_node
        if node is not None and node.data is not None:
            self.app.copy("this text", self._texts[node.data].strip())

    def on_tree_node_selected(self, event: Tree.NodeSelected[str]) -> None:
        event.stop()
        self.dismiss(event.node.data)


def _line(text: str) -> str:
    return " ".join(as_shown(text).split())[:_LONGEST]
