"""Take the pictures in docs/ from the real app with the real storyteller: ``python docs/screenshots.py``."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from random import Random

from textual.pilot import Pilot

from fate.config import Config
from fate.engine import Engine, load
from fate.playthrough import Playthrough
from fate.policy import UniformPolicy
from fate.store import Store
from fate.tui import FateApp
from fate.tui.screens.writing import WritingScreen

DOCS = Path(__file__).parent
OPENING = (
    "On the third day in the mountains, Tom and his sister found a door. "
    "It stood all alone in the snow, and it was warm to the touch."
)


async def until_open(pilot: Pilot[None]) -> None:
    await pilot.pause(0.3)
    while not (isinstance(pilot.app.screen, WritingScreen) and pilot.app.screen.is_open):
        await pilot.pause(0.05)
    await pilot.pause(0.3)


def take(app: FateApp, name: str) -> None:
    (DOCS / f"{name}.svg").write_text(app.export_screenshot())


def history(store: Store, engine: Engine, config: Config, choices: int) -> None:
    """Choices of a made-up reader, who likes short candidates, so that there is something to count."""
    policy, rng = UniformPolicy(config.ranges.settings_ranges()), Random(7)
    game = Playthrough(store, engine, policy, store.new_story(OPENING), rng=rng)
    for _ in range(choices):
        choice = [offer.choice for offer in game.offer()][-1]
        assert choice is not None
        shortest = min(choice.candidates, key=lambda candidate: len(candidate.written.text) + rng.randrange(60))
        game.choose(choice, shortest, 2000 + rng.randrange(6000))


async def main() -> None:
    config = Config()
    engine = load(config.model)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "fate.db")
        app = FateApp(config, store, begin=True, opening=OPENING, engine=engine)
        async with app.run_test(size=(110, 32)) as pilot:
            for key in ("2", "1", "p"):
                await until_open(pilot)
                await pilot.press(key)
            await pilot.pause(0.3)
            take(app, "writing")
            await pilot.press("b")
            await pilot.pause(0.5)
            take(app, "tree")
            await pilot.press("escape")
            await pilot.resize_terminal(40, 20)
            await pilot.press("p")
            await pilot.pause(0.5)
            take(app, "narrow")
        store.close()
        store = Store(Path(folder) / "history.db")
        history(store, engine, config, choices=150)
        app = FateApp(config, store, engine=engine)
        async with app.run_test(size=(110, 40)) as pilot:
            await pilot.pause(0.5)
            await pilot.press("c")
            await pilot.pause(1.5)
            take(app, "data")
        store.close()


if __name__ == "__main__":
    asyncio.run(main())
