"""Pictures of the screens. After a change that is meant: ``pytest --snapshot-update``, then look at them."""

import sqlite3
import time

import pytest

from tests.fakes import FakeEngine
from tests.tui.driving import press, until_open

TEXTS = (
    " Tom reached out and touched the wood. It hummed under his fingers like a sleeping cat.",
    ' "Do not open it," said his sister.\n\n"Why not?" asked Tom. "It is only a door."',
    " Far below them, in the valley, the lights of the village went out one by one.",
)
OPENING = "On the third day in the mountains, Tom and his sister found a door. It was warm to the touch."


async def played(pilot):
    await until_open(pilot)
    await press(pilot, "2")
    await press(pilot, "1")
    await pilot.press("right")


@pytest.mark.parametrize("size", [(120, 40), (80, 24), (60, 20), (40, 12)])
def test_writing(snap_compare, game, size):
    assert snap_compare(game(FakeEngine(TEXTS), OPENING), terminal_size=size, run_before=played)


@pytest.mark.parametrize("theme", ["textual-light", "ansi-dark"])
def test_writing_in_other_themes(snap_compare, game, theme):
    app = game(FakeEngine(TEXTS), OPENING)
    app.theme = theme
    assert snap_compare(app, terminal_size=(120, 40), run_before=played)


def test_an_ending(snap_compare, game):
    async def to_the_end(pilot):
        await until_open(pilot)
        await press(pilot, "3", then="ended")

    app = game(FakeEngine(TEXTS, ("sentence", "sentence", "eos")), OPENING)
    assert snap_compare(app, terminal_size=(80, 24), run_before=to_the_end)


def test_keys(snap_compare, game):
    async def to_the_keys(pilot):
        await until_open(pilot)
        await pilot.press("question_mark")

    assert snap_compare(game(FakeEngine(TEXTS), OPENING), terminal_size=(80, 24), run_before=to_the_keys)


@pytest.mark.parametrize("size", [(120, 40), (40, 12)])
def test_openings(snap_compare, game, size):
    assert snap_compare(game(opening=None), terminal_size=size)


def test_library(snap_compare, game, store, monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    for opening in (OPENING, "The clock in the town square had stopped at ten minutes past four."):
        store.new_story(opening)
    with sqlite3.connect(store.file) as db:
        db.execute("UPDATE story SET played_at = '2026-01-01T20:15:00+00:00' WHERE opening = ?", (OPENING,))
        db.execute("UPDATE story SET played_at = '2026-01-02T07:05:00+00:00' WHERE opening <> ?", (OPENING,))
    assert snap_compare(game(opening=None, begin=False), terminal_size=(80, 24))
