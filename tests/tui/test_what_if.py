import time
from dataclasses import replace

import pytest
from textual.containers import VerticalScroll
from textual.widgets import Static

from fate.engine import load
from fate.tui.screens.library import LibraryScreen
from fate.tui.screens.passage import PassageScreen
from fate.tui.screens.tree import TreeScreen
from fate.tui.screens.what_if import WhatIfScreen
from fate.tui.screens.writing import WritingScreen
from tests.fakes import FakeEngine
from tests.tui.driving import press, settled, state, until, until_open, writing


def said(app):
    return str(app.screen.query_one("#state", Static).visual)


def text(app, name):
    return str(app.screen.query_one(f"#{name} Static", Static).visual)


@pytest.mark.shuffled
async def test_as_it_was_is_the_same_and_other_settings_part(game, store, tiny_folders):
    app = game(load(str(tiny_folders["llama"])))
    async with app.run_test(size=(120, 40)) as pilot:
        await until_open(pilot)
        await pilot.press("right", "i")
        await until(lambda: isinstance(app.screen, WhatIfScreen) and said(app) != "writing …")
        assert said(app) == "the same, token for token"
        assert text(app, "would-be").strip().startswith(text(app, "was"))
        await pilot.press(*["up"] * 12)  # much warmer
        await until(lambda: "parted at token" in said(app))
        assert "(was" in str(app.screen.query_one("#dials", Static).visual)
        assert text(app, "was") != text(app, "would-be").strip()
        await pilot.press("0")
        await until(lambda: said(app) == "the same, token for token")
        await pilot.press("q")
        await until_open(pilot)
        await pilot.press("1")
        await until(lambda: next(store.choices()).decision)  # which may end the story, as this model pleases
    assert next(store.choices()).decision.blind is False  # the parameters had been seen


async def test_a_model_that_runs_otherwise_now_is_not_asked(game):
    app = game()
    async with app.run_test(size=(120, 24)) as pilot:
        await until_open(pilot)
        app.engine.info = replace(app.engine.info, id="another", precision="int8")
        await pilot.press("i")
        await until(lambda: [n.message for n in app._notifications if "ran otherwise when it wrote this" in n.message])
        assert isinstance(app.screen, WritingScreen)


@pytest.mark.parametrize("size", [(40, 12), (120, 24)])
async def test_both_texts_are_read_to_their_ends_by_keys(game, size):
    app = game(FakeEngine([" A long passage that goes on for a while, and then goes on." * 20] * 3))
    async with app.run_test(size=size) as pilot:
        await until_open(pilot)
        await pilot.press("i")
        await until(lambda: isinstance(app.screen, WhatIfScreen) and said(app).startswith("the same"))
        await pilot.pause(0.1)
        boxes = list(app.screen.query(VerticalScroll))
        assert min(box.scrollable_content_region.height for box in boxes) >= 2
        await pilot.press("j", "j", "k")
        assert [box.scroll_target_y for box in boxes] == [1, 1]
        for key, ends in (("pagedown", [box.max_scroll_y for box in boxes]), ("pageup", [0, 0])):
            for _ in range(max(box.max_scroll_y for box in boxes)):
                await pilot.press(key)
                if [box.scroll_target_y for box in boxes] == ends:
                    break
            await settled(lambda: [box.scroll_offset.y for box in boxes], ends)


async def test_a_past_candidate_is_asked_about_from_the_tree(game, store):
    engine = FakeEngine()
    app = game(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await until_open(pilot)
        await press(pilot, "2")
        await pilot.press("b")
        await pilot.pause(0.2)
        await pilot.press("home", "i")  # the opening was not drawn
        await pilot.press("down", "i")
        await until(lambda: isinstance(app.screen, WhatIfScreen))
        first = next(store.choices())
        await until(lambda: engine.prompts[-1] == first.prompt_ids)
        assert text(app, "was") == first.candidates[0].written.text.strip()


async def test_after_the_end_a_past_candidate_can_be_asked_about(game):
    app = game(FakeEngine(reasons=("sentence", "sentence", "eos")))
    async with app.run_test(size=(120, 40)) as pilot:
        await until_open(pilot)
        await press(pilot, "3", then="ended")
        await pilot.press("b")
        await until(lambda: isinstance(app.screen, TreeScreen))
        await pilot.press("home", "down", "i")
        await until(lambda: isinstance(app.screen, WhatIfScreen))


async def test_another_models_candidate_is_not_written_again(game):
    engine = FakeEngine()
    app = game(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await until_open(pilot)
        engine.info = replace(engine.info, weights_sha256="o" * 64)
        await pilot.press("i")
        await pilot.pause(0.2)
        assert not isinstance(app.screen, WhatIfScreen)
        assert "which one" in state(app)


async def test_while_candidates_are_written_there_is_no_asking_and_nothing_stands_still(game):
    engine = FakeEngine([" word" * 50] * 3)
    app = game(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await until_open(pilot)
        engine.delay = 0.05
        await pilot.press("1")
        await until(lambda: writing(app)._turn.number == 2 and writing(app)._turn.rows)
        await pilot.press("space", "i")
        assert "ask once" in state(app)
        await pilot.press("b")
        await until(lambda: isinstance(app.screen, TreeScreen))
        await pilot.press("down", "i")
        await until(lambda: "ask once" in said(app))
        assert isinstance(app.screen, TreeScreen)
        await pilot.press("escape", "space")
        await until(lambda: isinstance(app.screen, WritingScreen) and "writing" in state(app))


async def test_who_leaves_while_it_is_written_has_the_model_back(game):
    engine = FakeEngine([" word" * 50] * 3)
    app = game(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await until_open(pilot)
        engine.delay = 1
        await pilot.press("i")
        await until(lambda: isinstance(app.screen, WhatIfScreen) and text(app, "would-be"))
        assert said(app) == "writing …"
        await pilot.press("q")
        await until_open(pilot)
        await until(lambda: not app.engine_in_use.locked(), seconds=8)  # fifty words would take most of a minute
        engine.delay = 0
        await press(pilot, "r")


@pytest.mark.parametrize(("key", "there"), [("q", LibraryScreen), ("e", PassageScreen)])
async def test_it_does_not_come_where_the_reader_has_gone_meanwhile(game, store, monkeypatch, key, there):
    reveal = store.reveal

    def slow(*arguments):
        time.sleep(0.2)
        reveal(*arguments)

    monkeypatch.setattr(store, "reveal", slow)
    app = game()
    async with app.run_test(size=(80, 24)) as pilot:
        await until_open(pilot)
        await pilot.press("i", key)
        await until(lambda: isinstance(app.screen, there))
        await until(lambda: next(store.choices()).revealed)
        await pilot.pause(0.1)
        assert isinstance(app.screen, there)


async def test_a_model_that_fails_does_not_end_the_game(game, monkeypatch):
    engine = FakeEngine()
    app = game(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await until_open(pilot)

        def broken(*_):
            raise RuntimeError("out of memory")

        monkeypatch.setattr(engine, "generate", broken)
        await pilot.press("i")
        await until(lambda: isinstance(app.screen, WhatIfScreen) and said(app) == "stopped")
        await pilot.press("q")
        await until_open(pilot)
