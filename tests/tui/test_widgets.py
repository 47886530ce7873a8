"""Every widget runs by itself; styles stand beside their screens and take their colours from the theme."""

import re
import sys
from pathlib import Path

import pytest

import fate.tui
from tests.terminal import Terminal

TUI = Path(fate.tui.__file__).parent
ALONE = {
    "bar": "The door in the snow .* which one",
    "branch_tree": r"There was a door(.*\n)*.*1 · Tom(.*\n)*.*● He knocked(.*\n)*.*2 ● \(edited\) It opened",
    "candidate_card": r"like a sleeping▏(.*\n)*.*t \.70 k 50",
    "candidates": "▶ 1[^▶]*2[^▶]*3[^▶]*— the end —",
    "dials": r"▶ temperature 1 \(was 0\.8\)",
    "key_bar": "r Reroll *t Tie *u Undo",
    "prose": r"there was a text\.\s*It ended",
    "setting": r"temperature +0\.6 +to 1\.0[^✗]*✗ context must be",
    "story_list": r"A new story\s*The door in the snow\s*12 choices, 400 words(.*\n)*.*archived",
    "story_view": "Tom touched the wood[^—]*— the end —",
    "too_small": "fate needs 28×9 at least",
    "why": "why. 4.plot 5.style",
}


def test_every_widget_is_known_here():
    assert {file.stem for file in (TUI / "widgets").glob("[!_]*.py")} == set(ALONE)


@pytest.mark.parametrize("widget", ALONE)
def test_a_widget_runs_by_itself_and_shows_what_it_is_for(widget, tmp_path):
    alone = ("-W", "error::RuntimeWarning", "-m", f"fate.tui.widgets.{widget}")
    with Terminal(*alone, command=sys.executable, home=tmp_path) as terminal:
        terminal.wait_for(ALONE[widget])
        terminal.press("\x11")  # ctrl+q
        assert terminal.ended() == 0


@pytest.mark.parametrize("style", sorted(TUI.rglob("*.tcss")), ids=lambda style: style.stem)
def test_colours_come_from_the_theme(style):
    rules = re.sub(r"/\*.*?\*/", "", style.read_text(), flags=re.DOTALL)
    dressed = re.findall(r"^\s*(?:[\w-]*(?:color|background|border|outline|tint)[\w-]*): *(.+);", rules, re.MULTILINE)
    words = {word for value in dressed for word in value.split()}
    assert words <= {word for word in words if word[0] == "$"} | {"none", "round", "solid", "heavy", "bold", "50%"}


def test_every_screen_has_its_style_beside_it():
    screens = {file.stem for file in (TUI / "screens").glob("[!_]*.py")}
    assert screens == {file.stem for file in (TUI / "screens").glob("*.tcss")}
    for screen in screens:
        assert f'CSS_PATH = "{screen}.tcss"' in (TUI / "screens" / f"{screen}.py").read_text()
