"""What covers a screen while the terminal is too small for it."""

from __future__ import annotations

from textual.geometry import Size
from textual.widgets import Static

LEAST = Size(28, 9)  # what is going on, and two lines of the marked candidate over the titles of the others


class TooSmall(Static):
    """One sentence; app.tcss shows it while the app has the class ``-too-small``."""

    def __init__(self) -> None:
        super().__init__(f"fate needs {LEAST.width}×{LEAST.height} at least; make this terminal larger.", markup=False)


if __name__ == "__main__":
    from fate.tui.widgets._demo import show

    show(TooSmall, lambda cover: cover.app.add_class("-too-small"))
