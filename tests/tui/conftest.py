"""The app on a real database, with an engine whose words are known."""

from __future__ import annotations

import pytest

from fate.config import Config
from fate.tui import FateApp
from tests.fakes import FakeEngine

OPENING = "Nobody in Black Creek went near the old mill after dark."


@pytest.fixture(autouse=True)
def short_grace(monkeypatch):
    """Tests press hundreds of keys; those of the grace itself put it back."""
    monkeypatch.setattr("fate.tui.turn.GRACE", 0.03)


@pytest.fixture
def game(store, monkeypatch):
    """A function that makes an app, by default one that begins a story at once and writes nothing ahead."""

    def make(engine=None, opening=OPENING, begin=True, loaded=True, **settings):
        engine = (engine or FakeEngine()) if loaded else None
        monkeypatch.setattr("fate.tui.game.on_battery", lambda: engine is None or not engine.several)
        return FateApp(Config(**settings), store, begin=begin, opening=opening, engine=engine)

    return make
