"""Pictures of the screens. After a change that is meant: ``pytest --snapshot-update``, then look at them."""

import sqlite3
import time
from pathlib import Path
from random import Random

import pytest
from textual.theme import BUILTIN_THEMES
from textual.widgets import Input, Static, TextArea

from fate.config import read_config
from fate.tui import FateApp
from fate.tui.screens.ask import ConfirmScreen, LineScreen
from fate.tui.screens.data import DataScreen, Report
from fate.tui.screens.keys import KeysScreen
from fate.tui.screens.passage import PassageScreen
from fate.tui.screens.settings import SettingsScreen
from fate.tui.screens.tree import TreeScreen
from fate.tui.screens.what_if import WhatIfScreen
from tests.dataset.playing import play
from tests.fakes import FakeEngine
from tests.tui.driving import press, until, until_open

TEXTS = (
    " Tom reached out and touched the wood. It hummed under his fingers like a sleeping cat.",
    ' "Do not open it," said his sister.\n\n"Why not?" asked Tom. "It is only a door."',
    " Far below them, in the valley, the lights of the village went out one by one.",
)
SIZES = [(160, 50), (120, 40), (80, 24), (60, 20), (40, 12)]
DARK, LIGHT, TERMINALS_OWN = "textual-dark", "textual-light", "ansi-dark"
LOOKS = [*((size, DARK) for size in SIZES), ((80, 24), LIGHT), ((80, 24), TERMINALS_OWN)]
at_each_size_and_theme = pytest.mark.parametrize(
    ("size", "theme"), LOOKS, ids=[f"{columns}x{rows}-{theme}" for (columns, rows), theme in LOOKS]
)
OPENING = "On the third day in the mountains, Tom and his sister found a door. It was warm to the touch."


@pytest.fixture(autouse=True)
def the_same_draws(monkeypatch):
    """The page shows how its newest passage was drawn."""
    monkeypatch.setattr("fate.playthrough.Random", lambda seed=1: Random(seed))


@pytest.fixture
def picture(snap_compare):
    def compare(app, size, theme, run_before=None):
        app.theme = theme
        return snap_compare(app, terminal_size=size, run_before=run_before)

    return compare


async def played(pilot):
    await until_open(pilot)
    await press(pilot, "2")
    await press(pilot, "1")
    await pilot.press("right")


@at_each_size_and_theme
def test_writing(picture, game, size, theme):
    assert picture(game(FakeEngine(TEXTS), OPENING), size, theme, played)


@pytest.mark.parametrize("theme", sorted(BUILTIN_THEMES.keys() - {DARK, LIGHT, TERMINALS_OWN}))
def test_writing_in_every_other_theme(picture, game, theme):
    assert picture(game(FakeEngine(TEXTS), OPENING), (60, 20), theme, until_open)


@at_each_size_and_theme
def test_an_ending(picture, game, size, theme):
    async def to_the_end(pilot):
        await until_open(pilot)
        await press(pilot, "3", then="ended")

    app = game(FakeEngine(TEXTS, ("sentence", "sentence", "eos")), OPENING)
    assert picture(app, size, theme, to_the_end)


@at_each_size_and_theme
def test_keys(picture, game, size, theme):
    async def to_the_keys(pilot):
        await until_open(pilot)
        await pilot.press("question_mark")
        await until(lambda: isinstance(pilot.app.screen, KeysScreen))
        await pilot.pause(0.2)

    assert picture(game(FakeEngine(TEXTS), OPENING), size, theme, to_the_keys)


@at_each_size_and_theme
def test_words_by_hand(picture, game, size, theme):
    async def to_the_editor(pilot):
        await until_open(pilot)
        await pilot.press("e")
        await until(lambda: isinstance(pilot.app.screen, PassageScreen))
        pilot.app.screen.query_one(TextArea).cursor_blink = False
        await pilot.press("!")
        await pilot.pause(0.1)

    assert picture(game(FakeEngine(TEXTS), OPENING), size, theme, to_the_editor)


@at_each_size_and_theme
def test_openings(picture, game, size, theme):
    assert picture(game(opening=None), size, theme)


@pytest.fixture
def library(store, monkeypatch):
    """Two stories, of which it is known when they were played."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    for opening in (OPENING, "The clock in the town square had stopped at ten minutes past four."):
        store.new_story(opening)
    with sqlite3.connect(store.file) as db:
        db.execute("UPDATE story SET played_at = '2026-01-01T20:15:00+00:00' WHERE opening = ?", (OPENING,))
        db.execute("UPDATE story SET played_at = '2026-01-02T07:05:00+00:00' WHERE opening <> ?", (OPENING,))


@pytest.mark.usefixtures("library")
@at_each_size_and_theme
def test_library(picture, game, size, theme):
    assert picture(game(opening=None, begin=False), size, theme)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(("key", "question"), [("d", ConfirmScreen), ("m", LineScreen)])
@pytest.mark.parametrize(("size", "theme"), [((80, 24), DARK), ((40, 12), DARK), ((80, 24), LIGHT)])
def test_a_question(picture, game, key, question, size, theme):
    async def to_the_question(pilot):
        await pilot.press(key)
        await until(lambda: isinstance(pilot.app.screen, question))
        for line in pilot.app.screen.query(Input):
            line.cursor_blink = False
        await pilot.pause(0.1)

    assert picture(game(opening=None, begin=False), size, theme, to_the_question)


@at_each_size_and_theme
def test_tree(picture, game, store, size, theme):
    async def to_the_tree(pilot):
        await pilot.press("enter")
        await until_open(pilot)
        await pilot.press("b")
        await until(lambda: isinstance(pilot.app.screen, TreeScreen))
        await pilot.pause(0.1)

    play(store, "12u3", texts=TEXTS, opening=OPENING)
    app = game(FakeEngine(TEXTS), opening=None, begin=False)
    assert picture(app, size, theme, to_the_tree)


@at_each_size_and_theme
def test_data(picture, game, store, size, theme):
    async def to_the_data(pilot):
        await pilot.press("c")
        await until(
            lambda: isinstance(pilot.app.screen, DataScreen) and all(r.told for r in pilot.app.screen.query(Report))
        )
        await pilot.pause(0.1)

    for number in range(4):
        play(store, "123132113121", opening=f"Story {number}.")
    assert picture(game(opening=None, begin=False), size, theme, to_the_data)


@at_each_size_and_theme
def test_what_if(picture, game, monkeypatch, size, theme):
    async def to_what_if(pilot):
        await until_open(pilot)
        await pilot.press("right", "i")
        await until(lambda: isinstance(pilot.app.screen, WhatIfScreen))
        await pilot.press("up", "right", "up", "up")
        screen = pilot.app.screen
        await until(lambda: str(screen.query_one("#state", Static).visual).startswith("the same"))
        await pilot.pause(0.1)

    monkeypatch.setattr("fate.playthrough.Random", lambda *_: Random(0))  # the settings that are drawn
    assert picture(game(FakeEngine(TEXTS), OPENING), size, theme, to_what_if)


def test_without_colours(snap_compare, game, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    assert snap_compare(game(FakeEngine(TEXTS), OPENING), terminal_size=(80, 24), run_before=played)


def test_a_terminal_that_is_too_small(snap_compare, game):
    assert snap_compare(game(FakeEngine(TEXTS), OPENING), terminal_size=(20, 7), run_before=until_open)


@at_each_size_and_theme
def test_settings(picture, store, fate_home, monkeypatch, size, theme):
    async def to_the_settings(pilot):
        await until_open(pilot)
        await pilot.press("comma")
        await until(lambda: isinstance(pilot.app.screen, SettingsScreen) and pilot.app.focused)
        for line in pilot.app.screen.query(Input):
            line.cursor_blink = False
        pilot.app.screen.query("#ranges-typical_p Input").first().focus()
        await pilot.press("end", "backspace", "backspace")
        await until(lambda: pilot.app.screen.query(".-wrong"))
        await pilot.pause(0.2)

    monkeypatch.setattr("fate.tui.screens.settings.config_file", lambda: Path("~/fate/config.toml"))
    monkeypatch.setenv("FATE_CONTEXT", "512")
    app = FateApp(read_config(model="llama-fate"), store, begin=True, opening=OPENING, engine=FakeEngine(TEXTS))
    assert picture(app, size, theme, to_the_settings)


@pytest.mark.parametrize("size", [(80, 24), (40, 12)])
def test_asking_why(snap_compare, game, size):
    app = game(FakeEngine(TEXTS), OPENING)
    app.set_reactive(FateApp.config, app.config.changed("reasons", True))
    assert snap_compare(app, terminal_size=size, run_before=played)
