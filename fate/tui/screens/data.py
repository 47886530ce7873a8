"""What the reader's choices say: counts, agreement, and which settings win."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import date
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.reactive import var
from textual.screen import Screen
from textual.widgets import Static
from textual.worker import Worker

from fate.core.errors import FateError
from fate.tui.report import counted, liked
from fate.tui.widgets.bar import Bar
from fate.tui.widgets.key_bar import KeyBar

if TYPE_CHECKING:
    from fate.tui.app import FateApp


class Report(Static):
    """What is told of the data, as wide as there is room."""

    told: var[Callable[[int], Content] | None] = var(None)  # in so many letters

    def watch_told(self) -> None:
        if self.told is not None:
            self.update(self.told(self.size.width))

    def on_resize(self) -> None:
        self.call_after_refresh(self.watch_told)  # the height that follows is not that of this layout


class DataScreen(Screen[None]):
    """Numbers and plots of the whole database, read once."""

    app: FateApp

    CSS_PATH = "data.tcss"
    BINDINGS = [
        Binding("x", "export", "Export", id="data.export", tooltip="Write the dataset into a folder here"),
        Binding("up,k", "scroll(-1)", "Up", show=False, id="data.up", tooltip="Scroll up"),
        Binding("down,j", "scroll(1)", "Down", show=False, id="data.down", tooltip="Scroll down"),
        Binding("pageup", "scroll(-10)", "Page up", show=False, id="data.page-up", tooltip="Scroll up a page"),
        Binding("pagedown", "scroll(10)", "Page down", show=False, id="data.page-down", tooltip="Scroll down a page"),
        Binding("escape,q", "app.pop_screen", "Back", id="data.back", tooltip="Back"),
        Binding("question_mark", "app.keys", "Keys", id="data.keys", tooltip="Show what every key does"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._exporting: Worker[None] | None = None

    def compose(self) -> ComposeResult:
        yield Bar("Your choices", "counting …")
        with VerticalScroll(can_focus=False):
            yield Report(id="numbers", markup=False)
            yield Report(id="liked", markup=False)
        yield KeyBar()

    def on_mount(self) -> None:
        self._count()

    @work
    async def _count(self) -> None:
        from fate.dataset.stats import stats
        from fate.learn.ranker import ranker_of

        try:
            found = await asyncio.to_thread(stats, self.app.store)
            self.query_one(Bar).say(f"{found.choices:,} {'choice' if found.choices == 1 else 'choices'}")
            self.query_one("#numbers", Report).told = partial(counted, found)
            ranker = await asyncio.to_thread(ranker_of, self.app.store)
            self.query_one("#liked", Report).told = partial(liked, ranker)
        except FateError as error:
            self.query_one(Bar).say(str(error))

    def action_export(self) -> None:
        if self._exporting is None or self._exporting.is_finished:
            self.query_one(Bar).mention("exporting …")
            self._exporting = self._export()

    @work(thread=True, group="export")
    def _export(self) -> None:
        from fate.dataset import export

        name = f"fate-dataset-{date.today()}"
        folder = next(f for n in count() if not (f := Path(f"{name}-{n}" if n else name)).exists())
        try:
            exported = export(self.app.store, folder)
        except FateError as error:
            self.app.notify(f"Not exported: {error}", severity="error", markup=False)
        else:
            rows = ", ".join(f"{n:,} {config}" for config, n in exported.rows.items())
            said = [f"{folder.resolve()}: {rows}.", *exported.findings]
            self.app.notify("\n".join(said), timeout=8, markup=False)

    def action_scroll(self, by: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=by)
