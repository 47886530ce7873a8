"""A widget alone, to look at while working on it: ``python -m fate.tui.widgets.why``.

A change of its .tcss shows at once.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, TypeVar, cast

from textual.app import App, ComposeResult
from textual.screen import Screen
from textual.widget import Widget

from fate.core.choice import Continuation
from fate.core.sampling import SamplerSettings
from fate.tui.app import FateApp

if TYPE_CHECKING:
    from fate.playthrough import Playthrough

_TUI = Path(__file__).parent.parent

ROWS: tuple[Continuation, ...] = (
    Continuation(SamplerSettings(temperature=0.7), 0, " It hummed under his fingers like a sleeping"),
    Continuation(SamplerSettings(top_k=20), 1, ' "Why not?" asked Tom. "It is only a door."', finish_reason="sentence"),
    Continuation(SamplerSettings(muse_damp=0.5), 2, " And there they live to this day.", finish_reason="eos"),
)
# All that widgets ask of it.
PLAYED: Playthrough = cast("Playthrough", SimpleNamespace(revealed={"choice"}, unexplained="decision"))

W = TypeVar("W", bound=Widget)


class _Demo(App[None]):
    CSS_PATH = _TUI / "app.tcss"
    HORIZONTAL_BREAKPOINTS = FateApp.HORIZONTAL_BREAKPOINTS
    VERTICAL_BREAKPOINTS = FateApp.VERTICAL_BREAKPOINTS


def show(make: Callable[[], W], fill: Callable[[W], object] = lambda widget: None, screen: str = "writing") -> None:
    """Run an app of one widget, dressed as on a screen; ``fill`` is called once it is there."""

    def compose(alone: Screen[None]) -> ComposeResult:
        yield make()

    def on_mount(alone: Screen[None]) -> None:
        fill(cast("W", alone.children[-1]))

    style = _TUI / "screens" / f"{screen}.tcss"
    name = f"{screen.title()}Screen"  # which the rules in it are for
    app = _Demo(watch_css=True)
    dressed = type(name, (Screen,), {"CSS_PATH": style, "compose": compose, "on_mount": on_mount})
    app.call_later(lambda: app.push_screen(dressed()))
    app.run()
