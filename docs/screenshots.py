"""Take the pictures in docs/ from the real app with the real storyteller: ``python docs/screenshots.py``.

All stories are written by the storyteller, one of them along a path that was picked for these pictures, the others by
a made-up reader, so that there is something to count. Seeds are fixed; on another processor texts may differ.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from statistics import fmean

from textual.pilot import Pilot
from textual.widgets import Static

from fate.config import Config
from fate.core.choice import Choice
from fate.engine import Engine, load
from fate.openings import openings
from fate.playthrough import Playthrough
from fate.policy import UniformPolicy
from fate.store import Store
from fate.tui import FateApp
from fate.tui.screens.tree import TreeScreen
from fate.tui.screens.writing import WritingScreen

DOCS = Path(__file__).parent
STORIES = 13  # of the made-up reader
TODAY = datetime(2026, 11, 21, 20, 15, tzinfo=UTC)


class Pictures:
    """A database of stories, and pictures of the app that shows them."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.config = Config(look_ahead=False)
        self.engine = engine
        self.store = Store(folder / "fate.db")

    def begin(self, opening: str, seed: int) -> Playthrough:
        policy = UniformPolicy(self.config.ranges.settings_ranges(self.engine.sampler))
        return Playthrough(self.store, self.engine, policy, self.store.new_story(opening), rng=Random(seed))

    def app(self) -> FateApp:
        return FateApp(self.config, self.store, engine=self.engine)


def offered(game: Playthrough) -> Choice:
    choice = [offer.choice for offer in game.offer()][-1]
    assert choice is not None
    return choice


def play(game: Playthrough, keys: str) -> None:
    """Answer with the keys of the game: 1 2 3, r, u. The last candidates wait for an answer."""
    for key in keys:
        if key == "u":
            game.undo()
        elif key == "r":
            game.reroll(offered(game), 4000)
        else:
            choice = offered(game)
            game.choose(choice, choice.candidates[int(key) - 1], 4000)
    offered(game)


def play_by_taste(game: Playthrough, choices: int, rng: Random) -> None:
    """A made-up reader, who leans towards texts that the model expected least."""
    for _ in range(choices):
        choice, milliseconds = offered(game), round(1000 * rng.lognormvariate(1.5, 0.4))
        if rng.random() < 0.05:
            game.reroll(choice, milliseconds)
            continue
        by_taste = min(choice.candidates, key=lambda one: fmean(one.written.logprobs) + rng.gauss(0, 0.5))
        game.choose(choice, by_taste, milliseconds)
        if game.path.ended:
            return


def date(store: Store) -> None:
    """Spread the stories over some weeks, for they were all written now."""
    ids = [story.id for story in store.stories()]  # the last one first
    with closing(sqlite3.connect(store.file)) as db:
        for number, story_id in enumerate(ids):
            played = TODAY - timedelta(days=number + number // 3, minutes=17 * (number % 5))
            db.execute("UPDATE story SET played_at = ? WHERE id = ?", (played.isoformat(), story_id))
        db.commit()


async def until(pilot: Pilot[None], condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, f"it did not happen on {pilot.app.screen}"
        await pilot.pause(0.05)
    await pilot.pause(0.4)  # until everything is painted


async def until_open(pilot: Pilot[None]) -> None:
    await until(pilot, lambda: isinstance(pilot.app.screen, WritingScreen) and pilot.app.screen.is_open)


async def until_said(pilot: Pilot[None], words: str) -> None:
    await until(pilot, lambda: words in str(pilot.app.screen.query_one("#state", Static).visual))


async def take(pilot: Pilot[None], name: str, columns: int, rows: int) -> None:
    await pilot.resize_terminal(columns, rows)
    await pilot.pause(0.5)
    svg = re.sub(r"@font-face \{.*?\}\s*", "", pilot.app.export_screenshot(), flags=re.DOTALL)  # no font from afar
    (DOCS / f"{name}.svg").write_text(svg)


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        pictures = Pictures(Path(folder), load(Config().model))
        store, rng = pictures.store, Random(7)
        opening, *others = [each.text for each in openings()]
        for seed, other in enumerate(rng.sample(others, STORIES)):
            play_by_taste(pictures.begin(other, seed), 12 + rng.randrange(24), rng)
        game = pictures.begin(opening, seed=0)
        play(game, "221")
        date(store)
        *_, archived, renamed, _ = (story.id for story in store.stories())
        store.put(archived, "archived")
        store.rename(renamed, "The longest night")

        app = pictures.app()
        async with app.run_test() as pilot:
            await until_said(pilot, "your stories")
            await take(pilot, "library", 90, 31)
            await pilot.press("enter")
            await until_open(pilot)
            await pilot.press("right")
            await take(pilot, "narrow", 40, 26)
            await pilot.press("p")
            await take(pilot, "writing", 120, 30)
            await pilot.press("i")
            await until_said(pilot, "the same")
            await pilot.press(*["down"] * 4)  # colder
            await until_said(pilot, "parted")
            await take(pilot, "what-if", 120, 14)

        play(game, "1uu33uu2r3")
        app = pictures.app()
        async with app.run_test() as pilot:
            await until_said(pilot, "your stories")
            await pilot.press("c")
            await until_said(pilot, "choices")
            await take(pilot, "data", 90, 46)
            await pilot.press("escape", "enter")
            await until_open(pilot)
            await pilot.press("b")
            await until(pilot, lambda: isinstance(pilot.app.screen, TreeScreen))
            await pilot.press(*["up"] * 6, "space")  # what was once taken, and left
            await take(pilot, "tree", 120, 28)
        store.close()


if __name__ == "__main__":
    asyncio.run(main())
