"""The keys of a screen in one line at the bottom, as many as there is room for."""

from __future__ import annotations

from textual.geometry import Size
from textual.layout import ArrangeResult, Layout
from textual.layouts.horizontal import HorizontalLayout
from textual.widget import Widget
from textual.widgets import Footer


class _Whole(HorizontalLayout):
    """Side by side; what does not fit wholly is left out."""

    def arrange(self, parent: Widget, children: list[Widget], size: Size, greedy: bool = True) -> ArrangeResult:
        placed = super().arrange(parent, children, size, greedy)
        return [placement for placement in placed if placement.region.right <= size.width]


class KeyBar(Footer):
    """Textual's footer with no half of a key at its end."""

    def __init__(self) -> None:
        super().__init__(show_command_palette=False, compact=True)

    @property
    def layout(self) -> Layout:
        return _Whole()


if __name__ == "__main__":
    from fate.tui.widgets._demo import show

    def fill(keys: KeyBar) -> None:
        for key, description in {"r": "Reroll", "t": "Tie", "u": "Undo", "b": "Tree", "q": "Leave"}.items():
            keys.app.bind(key, f"notify('{description}')", description=description)
        keys.screen.refresh_bindings()

    show(KeyBar, fill)
