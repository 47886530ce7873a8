"""Whatever letters a model writes, or a reader types: no screen obeys them, breaks, or grows wider than it is."""

import re
import unicodedata

import pytest
from textual import events
from wcwidth import wcswidth

from fate.tui import FateApp
from fate.tui.screens.ask import ConfirmScreen, LineScreen
from fate.tui.screens.data import DataScreen
from fate.tui.screens.keys import KeysScreen
from fate.tui.screens.library import LibraryScreen
from fate.tui.screens.openings import OpeningsScreen
from fate.tui.screens.passage import PassageScreen
from fate.tui.screens.settings import SettingsScreen
from fate.tui.screens.tree import TreeScreen
from fate.tui.screens.what_if import WhatIfScreen
from fate.tui.screens.writing import WritingScreen
from tests.fakes import FakeEngine
from tests.tui.driving import press, until, until_open

# An opening and three candidates each.
LETTERS = (
    " " + "a" * 300 + "猫" * 100,  # no space
    " 猫が好きです。" + "犬も好きです、" * 8 + "ﾊﾝｶｸ ＦＵＬＬ 한국어.",  # wide
    " e\u0301te\u0301 Z\u0336\u0321a\u0337\u0353l\u0334\u035bg\u0335o\u0338 " + "o\u0308\u0304" * 60 + ".",  # combining
    " שלום עולם, " + "مرحبا بالعالم " * 8 + "\u202eטקסט\u202c \u2067אב\u2069 \u200f.",  # right to left
)
SIGNS = (
    " [bold]x[/bold] [/] [red on blue] [@click=app.quit]q[/] [link=http://x]l[/link] \\[ [$primary]x.",  # markup
    " 👨‍👩‍👧‍👦 👩🏽‍🚀 🏳️‍🌈 🇫🇷 ❤️ 1️⃣ " + "🧑‍🤝‍🧑" * 30 + ".",  # emoji
    " \x07bell \x08back\x0bup\x0cfeed \r\nreturn\x00null\x7fdel \x85next \x9b31mcsi \ttab\u2028line\ufeff.",  # controls
    " \x1b[2J\x1b[31mred\x1b[0m \x1b]0;title\x07 \x1b]52;c;aGk=\x07 \x1bPdcs\x1b\\ \x1b[?1049l\x1bc.",  # escapes
)


def check_lines(app, size):
    lines = [strip.text for strip in app.screen._compositor.render_strips()]
    assert len(lines) == size[1]
    for line in lines:
        # Signs that stand for half a flag are one cell wide in terminals, and half a letter in what wcwidth reads.
        assert 0 <= wcswidth(re.sub("[\U0001f1e6-\U0001f1ff]", "x", line)) <= size[0], line
        obeyed = {c for c in line if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")}
        turning = {c for c in line if unicodedata.bidirectional(c) in ("RLO", "LRO", "RLE", "LRE", "RLI", "LRI", "FSI")}
        assert not obeyed | turning, line
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("size", "texts"),
    [((120, 40), LETTERS), ((40, 12), LETTERS), ((40, 12), SIGNS)],
    ids=["wide-letters", "narrow-letters", "narrow-signs"],
)
async def test_all_screens_show_it_harmlessly(game, store, size, texts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a story is saved there
    app = game(FakeEngine(texts[1:]), opening=f"Once {texts[0]}")
    app.set_reactive(FateApp.config, app.config.changed("annotator", texts[2].strip()))
    async with app.run_test(size=size) as pilot:

        async def goes_to(screen, *keys):
            await pilot.press(*keys)
            await until(lambda: isinstance(app.screen, screen))
            await pilot.pause(0.01)
            return check_lines(app, size)

        async def pastes(text):
            app.post_message(events.Paste(text))
            await pilot.pause(0.01)
            check_lines(app, size)

        await until_open(pilot)
        for key in "123":
            shown = await goes_to(WritingScreen)
            if key == "1" and texts is SIGNS:
                assert "[link=http://x]l[/link]" in shown
            await press(pilot, key)
        for _ in texts[1:]:
            await goes_to(WritingScreen, "right", "j", "y", "Y", "p")
            await goes_to(WhatIfScreen, "i")
            await goes_to(WritingScreen, "escape")
        await goes_to(KeysScreen, "question_mark")
        await goes_to(WritingScreen, "escape")
        await goes_to(TreeScreen, "b")
        await goes_to(WritingScreen, "escape")
        await goes_to(SettingsScreen, "comma")
        app.screen.query_one("#annotator Input").focus()
        for text in texts:
            await pastes(text)
        await goes_to(WritingScreen, "escape")
        await goes_to(PassageScreen, "e")
        for text in texts:
            await pastes(text)
        await press(pilot, "enter")
        await goes_to(LibraryScreen, "q")
        await goes_to(LineScreen, "m")
        await pastes(texts[3])
        title = store.stories()[0].title
        await goes_to(LibraryScreen, "enter")
        await until(lambda: store.stories()[0].title != title)
        await goes_to(ConfirmScreen, "d")
        await goes_to(LibraryScreen, "n", "y", "s")
        await goes_to(DataScreen, "c")
        await goes_to(LibraryScreen, "escape")
        await goes_to(OpeningsScreen, "n", "o")
        for text in texts:
            await pastes(text)
        await goes_to(LibraryScreen, "escape", "escape")
        await goes_to(WritingScreen, "enter")
