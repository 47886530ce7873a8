"""Take the pictures in docs/ from the real app with the real storyteller: ``python docs/screenshots.py``."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from textual.pilot import Pilot

from fate.config import Config
from fate.engine import load
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


async def main() -> None:
    config = Config()
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "fate.db")
        app = FateApp(config, store, begin=True, opening=OPENING, engine=load(config.model))
        async with app.run_test(size=(110, 32)) as pilot:
            for key in ("2", "1", "p"):
                await until_open(pilot)
                await pilot.press(key)
            await pilot.pause(0.3)
            (DOCS / "writing.svg").write_text(app.export_screenshot())
        store.close()


if __name__ == "__main__":
    asyncio.run(main())
