"""Ways to wait for what the screen shows, and to see what was kept."""

from __future__ import annotations

import asyncio
import time

from textual.widgets import Static

from fate.store import Store, StoreError
from fate.tui import turn
from fate.tui.screens.writing import WritingScreen
from fate.tui.widgets.candidate_card import CandidateCard


def writing(app) -> WritingScreen:
    return next(screen for screen in reversed(app.screen_stack) if isinstance(screen, WritingScreen))


async def until(condition, seconds=15):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        await asyncio.sleep(0.01)


async def settled(found, expected, what="", seconds=5):
    """Wait until ``found()`` is what is expected: a screen may be painted a moment later."""
    end = time.monotonic() + seconds
    while found() != expected and time.monotonic() < end:
        await asyncio.sleep(0.02)
    assert found() == expected, what


async def until_open(pilot):
    """Wait until the candidates are complete and take keys."""
    await until(lambda: isinstance(pilot.app.screen, WritingScreen) and pilot.app.screen._state == "open")
    await asyncio.sleep(turn.GRACE + 0.02)
    await pilot.pause()


async def press(pilot, key, then="open"):
    """Press a key and wait for what it leads to."""
    round_ = writing(pilot.app)._turn.number
    await pilot.press(key)
    await until(lambda: writing(pilot.app)._turn.number > round_ and writing(pilot.app)._state == then)
    if then == "open":
        await asyncio.sleep(turn.GRACE + 0.02)
    await pilot.pause()


def page(app) -> str:
    return str(writing(app).query_one("#page", Static).visual)


def cards(app) -> list[str]:
    return [str(card.query_one(Static).visual) for card in writing(app).query(CandidateCard)]


def state(app) -> str:
    return str(writing(app).query_one("#state", Static).visual)


def words_on(app) -> str:
    """All that the screen shows, with single spaces."""
    return " ".join("\n".join(strip.text for strip in app.screen._compositor.render_strips()).split())


def decisions(store: Store):
    return [choice.decision.kind if choice.decision else None for choice in store.choices()]


def failing(*_, **__):
    """What a method of the store is replaced with."""
    raise StoreError("The disk is full.")
