"""Every text that was ever offered in a story, as a tree, and the reader's path through it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from rich.text import Text
from textual.binding import Binding
from textual.widgets import Tree
from textual.widgets.tree import TreeNode

from fate.core.story import Branch, Path
from fate.core.text import as_shown

OPENING = "opening"  # the data of the root; that of any other line is the id of its text
_LONGEST = 200  # letters of a text in a line; the line is cut where the screen ends


class BranchTree(Tree[str]):
    """A line of play stands flat, choice under choice, however long it is; only what branches off is set in."""

    BINDINGS = [
        Binding("enter", "select_cursor", "Go on", id="tree.step", tooltip="Play on from this text"),
        Binding("space", "toggle_node", "Fold", id="tree.toggle", tooltip="Show or hide what follows"),
    ]

    def __init__(self, path: Path, branches: Iterable[Branch]) -> None:
        super().__init__(Text(_line(path.opening), style="bold"), data=OPENING)
        self.guide_depth = 2
        self.texts = {OPENING: path.opening}
        self._tip_id = path.tip_id
        self._tip = self.root  # where the reader stands
        self._after: dict[str | None, dict[str, list[Branch]]] = defaultdict(lambda: defaultdict(list))
        self._last: dict[str | None, int] = {}  # after each text, the number of the last that was offered there
        parents: dict[str | None, str | None] = {}
        for number, branch in enumerate(branches):
            self._after[branch.parent_id][branch.choice_id].append(branch)
            self._last[branch.parent_id] = number
            self.texts[branch.id] = branch.text
            parents[branch.id] = branch.parent_id
        self._on_path: set[str | None] = set()
        above = path.tip_id
        while above is not None:
            self._on_path.add(above)
            above = parents.get(above)

    def on_mount(self) -> None:
        self._grow(self.root, None)
        self.root.expand()
        self.call_after_refresh(self._go_to_tip)

    def _go_to_tip(self) -> None:
        self.move_cursor(self._tip)
        self.scroll_to_node(self._tip, animate=False)

    @property
    def marked(self) -> str:
        """The id of the marked text, or ``OPENING``."""
        return (self.cursor_node and self.cursor_node.data) or OPENING

    def _grow(self, node: TreeNode[str], parent_id: str | None) -> None:
        """Put a line of play under a node: the choices after a text, after the main one of theirs, and so on."""
        while parent_id in self._after:
            main = self._main(parent_id)
            for offered in sorted(self._after[parent_id].values(), key=lambda texts: main in texts):
                for branch in offered:
                    label = self._label(branch, first=branch is offered[0])
                    shown = node.add(label, data=branch.id, allow_expand=False)
                    if branch.id == self._tip_id:
                        self._tip = shown
                    if branch is not main and branch.id in self._after:
                        shown.allow_expand = True
                        self._grow(shown, branch.id)
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


def _line(text: str) -> str:
    return " ".join(as_shown(text).split())[:_LONGEST]


if __name__ == "__main__":
    from fate.tui.widgets._demo import show

    opening, passages = "There was a door.", ("Tom touched it.", "He knocked.", "It opened.")
    branches = [
        Branch("1", "first", None, 0, passages[0], "generated", False),
        Branch("2", "first", None, 0, passages[1], "generated", True),
        Branch("3", "second", "2", 1, passages[2], "edited", True),
    ]
    path = Path("story", "The door", opening, passages[1:], "3")
    show(lambda: BranchTree(path, branches), screen="tree")
