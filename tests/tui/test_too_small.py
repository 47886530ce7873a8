import pytest
from textual.widgets import Input, TextArea
from textual.widgets._toast import Toast

from fate.tui.screens.data import DataScreen
from fate.tui.screens.keys import KeysScreen
from fate.tui.screens.library import LibraryScreen
from fate.tui.screens.openings import OpeningsScreen
from fate.tui.screens.passage import PassageScreen
from fate.tui.screens.settings import SettingsScreen
from fate.tui.screens.tree import TreeScreen
from fate.tui.screens.what_if import WhatIfScreen
from fate.tui.screens.writing import WritingScreen
from fate.tui.widgets.too_small import LEAST
from tests.tui.driving import cards, press, settled, until, until_open, words_on, writing

SENTENCE = f"fate needs {LEAST.width}×{LEAST.height} at least; make this terminal larger."
WAYS = {  # the keys that lead to each screen from a story
    WritingScreen: [],
    KeysScreen: ["question_mark"],
    SettingsScreen: ["comma"],
    TreeScreen: ["b"],
    WhatIfScreen: ["i"],
    PassageScreen: ["w", "x"],
    LibraryScreen: ["q"],
    OpeningsScreen: ["q", "n"],
    DataScreen: ["q", "c"],
}


@pytest.mark.parametrize("screen", WAYS)
async def test_every_screen_says_so_and_comes_back_as_it_was(game, screen):
    app = game()
    async with app.run_test(size=(80, 24)) as pilot:
        await until_open(pilot)
        for key in WAYS[screen]:
            await pilot.press(key)
            await pilot.pause(0.1)
        await until(lambda: isinstance(app.screen, screen))
        await pilot.pause(0.5)  # what is read or counted in a thread comes later
        before, focused, stack = words_on(app), app.focused, list(app.screen_stack)
        await pilot.resize_terminal(LEAST.width - 1, 10)
        await settled(lambda: words_on(app), SENTENCE)
        await pilot.resize_terminal(80, 24)
        await settled(lambda: words_on(app), before)
        assert (app.focused, app.screen_stack) == (focused, stack)


async def test_no_key_answers_what_cannot_be_seen(game, store):
    app = game()
    async with app.run_test(size=(80, 24)) as pilot:
        await until_open(pilot)
        was = cards(app)
        await pilot.resize_terminal(80, LEAST.height - 1)
        await pilot.press("1", "r", "w", "q", "enter")
        await pilot.click(offset=(5, 5))
        await pilot.resize_terminal(80, 24)
        await pilot.pause(0.1)
        assert isinstance(app.screen, WritingScreen)
        assert cards(app) == was
        assert [choice.decision for choice in store.choices()] == [None]
        await press(pilot, "1")


async def test_what_was_being_typed_is_still_there_and_goes_on(game):
    app = game()
    async with app.run_test(size=(80, 24)) as pilot:
        await until_open(pilot)
        await pilot.press("w", "a")
        await pilot.resize_terminal(8, 3)
        await pilot.press("b", "escape")
        await pilot.resize_terminal(80, 24)
        await pilot.press("c")
        await pilot.pause()
        assert app.screen.query_one(TextArea).text == "ac"
        await pilot.press("escape", "q", "slash", "d")
        await pilot.resize_terminal(8, 3)
        await pilot.press("e")
        await pilot.resize_terminal(80, 24)
        await pilot.press("f")
        await pilot.pause()
        assert app.screen.query_one(Input).value == "df"


async def test_a_game_that_begins_too_small_is_there_once_the_terminal_is_larger(game):
    app = game()
    async with app.run_test(size=(8, 3)) as pilot:
        await until(lambda: isinstance(app.screen, WritingScreen) and writing(app)._state == "open")
        await pilot.pause(0.1)
        assert "28×9" in words_on(app)
        await pilot.resize_terminal(LEAST.width, LEAST.height)
        await until_open(pilot)
        assert "which one?" in words_on(app)
        await press(pilot, "1")


async def test_the_key_that_leaves_at_once_still_leaves(game):
    app = game()
    async with app.run_test(size=(8, 3)) as pilot:
        await pilot.press("ctrl+q")
        await until(lambda: not app.is_running)


@pytest.mark.parametrize("size", [(40, 12), (80, 24)])
async def test_a_notification_covers_no_more_than_its_words_need(game, size):
    app = game()
    async with app.run_test(size=size, notifications=True) as pilot:
        await until_open(pilot)
        app.notify("Copied the story, 1,203 words.")
        await until(lambda: len(app.screen.query(Toast)) == 1)
        await settled(lambda: app.screen.query_one(Toast).region.size, (size[0], 1))


async def test_the_same_is_not_said_twice_and_escape_takes_it_away(game):
    app = game()
    async with app.run_test(size=(40, 12), notifications=True) as pilot:
        await until_open(pilot)
        for _ in range(2):
            app.notify("The disk is full.", severity="error", timeout=60)
            await pilot.pause(0.1)
        await until(lambda: len(app.screen.query(Toast)) == 1)
        await pilot.press("escape")
        await until(lambda: not app.screen.query(Toast))
