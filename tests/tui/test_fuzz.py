"""Thousands of random keys and resizes: nothing crashes, and the database stays as it must be.

``FATE_FUZZ_KEYS`` says how many keys, ``FATE_FUZZ_SEED`` which.
"""

import asyncio
import os
from random import Random

from fate.dataset.check import check
from fate.store import Store
from fate.tui.screens.library import LibraryScreen
from tests.fakes import FakeEngine
from tests.tui.driving import press, until_open

KEYS = int(os.environ.get("FATE_FUZZ_KEYS", "60"))
SEED = int(os.environ.get("FATE_FUZZ_SEED", "0"))
SIZES = [(160, 50), (120, 40), (80, 24), (60, 20), (40, 12), (25, 6), (8, 3)]
# The keys that the game has, some more often than others; what leaves the program is left out.
PRESSED = [
    *("1", "2", "3", "1", "2", "3", "1", "2", "3", "r", "t", "u", "u", "U", "p", "space", "i", "b", "e", "w", "n"),
    *("up", "down", "left", "right", "enter", "enter", "escape", "escape", "escape", "tab", "question_mark"),
    *("j", "k", "pageup", "pagedown", "home", "end", "comma", "c", "m", "a", "d", "y", "Y", "slash", "x", "q"),
    *("s", "S", "ctrl+p", "backspace", "4", "8", "é", "漢", "0", "f1"),
]


async def goes_on(pilot):
    """A story can still be begun and played: nothing stands still, whatever was pressed."""
    await pilot.resize_terminal(120, 40)
    app = pilot.app
    while not isinstance(app.screen, LibraryScreen):
        app.pop_screen()
    app.begin_story("Once more.")
    await until_open(pilot)
    await press(pilot, "1")
    await press(pilot, "r")


async def test_random_keys_and_resizes_break_nothing(game, store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # whatever is saved or exported goes there
    rng = Random(SEED)
    app = game(FakeEngine(several=True, delay=0.001))
    monkeypatch.setattr(app, "exit", lambda *_, **__: None)
    pressed = []
    async with app.run_test(size=(120, 40)) as pilot:
        for _ in range(KEYS):
            if rng.random() < 0.04:
                await pilot.resize_terminal(*rng.choice(SIZES))
            key = rng.choice(PRESSED)
            if key == "q" and len(app.screen_stack) <= 2:
                continue  # the library's way out
            pressed.append(key)
            await pilot.press(key)
            if rng.random() < 0.2:
                await asyncio.sleep(rng.random() * 0.5)
            assert app.failure is None, pressed[-20:]
            assert app._exception is None, pressed[-20:]
        await goes_on(pilot)
    store.close()
    again = Store(tmp_path / "fate.db")
    try:
        assert list(check(again)) == []
        assert any(choice.decision for choice in again.choices())
    finally:
        again.close()
