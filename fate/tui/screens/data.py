"""What the reader's choices say: counts, agreement, and which settings win."""

from __future__ import annotations

import asyncio
from datetime import date
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
from textual.widgets import Footer, Static
from textual.worker import Worker

from fate.core.errors import FateError
from fate.tui.widgets.bar import Bar

if TYPE_CHECKING:
    from fate.dataset.stats import Share, Stats
    from fate.tui.app import FateApp

_BAR = 24  # letters of a plot; where there is less room than _WIDE, it is shorter and its numbers stand below it
_WIDE = 76  # letters that the longest line takes
_FULL = 2 / 3  # the share that fills it; chance is in the middle
_SHADES = " ░▒▓█"
_THIRDS = ("low", "middle", "high")


class Numbers(Static):
    """The report on ``found``, as wide as there is room."""

    found: var[Stats | None] = var(None)

    def watch_found(self) -> None:
        if self.found is not None:
            self.update(report(self.found, self.size.width))

    def on_resize(self) -> None:
        self.call_after_refresh(self.watch_found)  # the height that follows is not that of this layout


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
            yield Numbers(id="numbers", markup=False)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        self._count()

    @work
    async def _count(self) -> None:
        from fate.dataset.stats import stats

        try:
            found = await asyncio.to_thread(stats, self.app.store)
        except FateError as error:
            self.query_one(Bar).say(str(error))
        else:
            self.query_one(Bar).say(f"{found.choices:,} {'choice' if found.choices == 1 else 'choices'}")
            self.query_one(Numbers).found = found

    def action_export(self) -> None:
        if self._exporting is None or self._exporting.is_finished:
            self._exporting = self._export()

    @work(thread=True, group="export")
    def _export(self) -> None:
        from fate.dataset import export

        name = f"fate-dataset-{date.today()}"
        folder = next(f for n in count() if not (f := Path(f"{name}-{n}" if n else name)).exists())
        self.app.notify(f"Exporting into {folder} …", markup=False)
        try:
            exported = export(self.app.store, folder)
        except FateError as error:
            self.app.notify(f"Not exported: {error}", severity="error", markup=False)
        else:
            rows = ", ".join(f"{n:,} {config}" for config, n in exported.rows.items())
            said = [f"{folder.resolve()}: {rows}.", *exported.findings]
            self.app.notify("\n".join(said), timeout=15, markup=False)

    def action_scroll(self, by: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=by)


def report(found: Stats, width: int) -> Content:
    """All of it as one text, whose plots are no wider than ``width`` letters, if that is at least 36."""
    from fate.dataset.stats import STEPS

    lines: list[Content | str] = [
        ", ".join(
            f"{n:,} {one if n == 1 else many}"
            for n, one, many in (
                (found.stories, "story", "stories"),
                (found.choices, "choice", "choices"),
                (found.candidates, "candidate", "candidates"),
            )
        ),
        ", ".join(f"{kind.replace('_', ' ')} {n:,}" for kind, n in found.decisions.items()) or "nothing decided yet",
    ]
    if found.reading_seconds is not None:
        lines.append(f"{found.reading_seconds:.1f} s to choose (median)")
    lines += [f"agreement with oneself: {found.agreement_within}", f"agreement with others: {found.agreement_between}"]
    lines += _title("Chosen, by place on the screen")
    for place, share in enumerate(found.positions, 1):
        lines += _plot(f"{place}", share, width)
    for name, thirds in found.wins.items():
        lines += _title(f"Chosen, by {name}")
        for low, high, share in thirds:
            lines += _plot(f"{low:.3g} to {high:.3g}", share, width)
    wide = width >= _WIDE
    lines += _title(f"Chosen, by temperature {'(down) and top_k (across)' if wide else 'and, in it, top_k'}")
    for word, row in zip(_THIRDS, found.grid, strict=True):
        lines += _row(word, row, width)
    lines += _title(f"Chosen, by step of the story and {'temperature (low, middle, high)' if wide else 'temperature'}")
    for (first, last), row in zip(STEPS, found.steps, strict=True):
        steps = f"{first} on" if last is None else f"{first}" if first == last else f"{first} to {last}"
        lines += _row(steps, row, width)
    return Content("\n").join(Content(line) if isinstance(line, str) else line for line in lines)


def _title(words: str) -> list[Content | str]:
    return ["", Content.styled(words, "bold")]


def _plot(name: str, share: Share, width: int) -> list[str]:
    """A bar whose middle is chance, with the numbers beside or below it."""
    wide = width >= _WIDE
    letters = _BAR if wide else max(2, min(_BAR, (width - 16) // 2 * 2))
    if not share.says_something:
        return [f"{name:>14}  {' ' * letters if wide else ''}{'  ' if wide else ''}{share}"]
    filled = min(letters, round(share.part / share.whole / _FULL * letters))
    bar = "".join("█" if n < filled else "┆" if n == letters // 2 else "·" for n in range(letters))
    low, high = share.interval()
    numbers = f"{share.part / share.whole:.0%} ({low:.0%} to {high:.0%}) of {share.whole:,}"
    plot = f"{name:>14}  {bar}"
    return [f"{plot}  {numbers}"] if wide else [plot, f"{numbers:>{len(plot)}}"]


def _row(name: str, shares: list[Share], width: int) -> list[str]:
    """Shares side by side, each with a shade; where there is no room for that, one below the other."""
    line = f"{name:>14}  " + "  ".join(f"{_cell(share):<18}" for share in shares).rstrip()
    if width >= max(_WIDE, len(line)):
        return [line]
    names = [name, *[""] * len(shares)]
    return [
        f"{name:>8}  {third:<6}  {_cell(share)}" for name, third, share in zip(names, _THIRDS, shares, strict=False)
    ]


def _cell(share: Share) -> str:
    if not share.says_something:
        return f"not enough data {share.whole:,}"
    part = share.part / share.whole
    shade = _SHADES[min(len(_SHADES) - 1, round(part / _FULL * (len(_SHADES) - 1)))]
    low, high = share.interval()
    return f"{shade * 2} {part:.0%} ({100 * low:.0f}–{high:.0%}) {share.whole:,}"
