"""Everything can be read in every theme, with 256 colours, with 16, and with none."""

import re

import pytest
from rich.color import ColorSystem

from fate.tui.screens.data import DataScreen
from fate.tui.screens.library import LibraryScreen
from fate.tui.screens.openings import OpeningsScreen
from fate.tui.screens.settings import SettingsScreen
from fate.tui.screens.tree import TreeScreen
from fate.tui.screens.what_if import WhatIfScreen
from fate.tui.screens.writing import WritingScreen
from tests.terminal import Terminal
from tests.tui.driving import press, settled, until, until_open

LEAST = 2.5  # contrast, as WCAG counts it; ordinary text has far more
WORDS = re.compile(r"[\w?/]")


def light(color):
    """Relative luminance, as WCAG counts it."""
    parts = [part / 255 for part in color]
    return sum(
        share * (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4)
        for share, part in zip((0.2126, 0.7152, 0.0722), parts, strict=True)
    )


def contrast(style, system):
    colors = [color.downgrade(system).get_truecolor() for color in (style.color, style.bgcolor)]
    dark, bright = sorted(map(light, colors))
    return (bright + 0.05) / (dark + 0.05)


def hard_to_read(app, system):
    segments = [segment for strip in app.screen._compositor.render_strips() for segment in strip]
    return {
        segment.text: contrast(segment.style, system)
        for segment in segments
        if WORDS.search(segment.text) and contrast(segment.style, system) < LEAST
    }


async def test_every_screen_can_be_read_in_dark_and_light_with_256_colours_too(game):
    app = game()
    async with app.run_test(size=(100, 30)) as pilot:
        await until_open(pilot)
        await press(pilot, "1")
        await pilot.press("p", "right")
        walk = [
            ([], WritingScreen),
            (["comma"], SettingsScreen),
            (["escape", "b"], TreeScreen),
            (["escape", "i"], WhatIfScreen),
            (["escape", "q"], LibraryScreen),
            (["n"], OpeningsScreen),
            (["escape", "c"], DataScreen),
        ]
        for keys, screen in walk:
            await pilot.press(*keys)
            await until(lambda screen=screen: isinstance(app.screen, screen))
            for theme in ("textual-light", "solarized-light", "textual-dark"):
                app.theme = theme
                for system in (ColorSystem.TRUECOLOR, ColorSystem.EIGHT_BIT):
                    await settled(lambda system=system: hard_to_read(app, system), {}, (screen, theme, system))


@pytest.mark.parametrize("term", ["xterm", "linux"])
def test_with_16_colours_the_terminals_own_are_used(tmp_path, term):
    with Terminal("play", "Once there was a door.", home=tmp_path, environment={"TERM": term}) as terminal:
        terminal.wait_for("Once there was a door")
        terminal.wait_for("Reroll")
        assert ("default", "default") in terminal.looks
        assert all(letter != behind or letter == "default" for letter, behind in terminal.looks)


@pytest.mark.parametrize("environment", [{"TERM": "xterm-256color", "COLORTERM": "truecolor"}, {"TERM": "xterm"}])
def test_without_colours_there_are_none_and_what_is_marked_is_underlined(tmp_path, environment):
    with Terminal("play", home=tmp_path, environment={**environment, "NO_COLOR": "1"}) as terminal:
        terminal.wait_for("how does it begin")
        terminal.wait_for("Begin")
        assert terminal.looks == {("default", "default")}
        assert terminal.underlined.startswith("Fairy tale")
        terminal.press("\x1b[B\r")
        terminal.wait_for("Reroll")
        assert terminal.looks == {("default", "default")}
