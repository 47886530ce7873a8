"""A text that is as high as it needs to be."""

from __future__ import annotations

from textual.visual import VisualType
from textual.widgets import Static


class Prose(Static):
    """Textual's Static, which keeps a height too long where one text follows another before it has been laid out."""

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id, markup=False)

    def update(self, content: VisualType = "", *, layout: bool = True) -> None:
        super().update(content, layout=layout)
        self._layout_updates += layout  # Textual counts one for both, and the height of the first is in its cache


if __name__ == "__main__":
    from fate.tui.widgets._demo import show

    show(Prose, lambda prose: prose.update("Once upon a time there was a text.\n\nIt ended."))
