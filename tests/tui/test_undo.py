"""Undo and redo: what was answered, offered again as it was."""

import time

from textual import events

from fate.tui.screens.library import LibraryScreen
from fate.tui.screens.writing import WritingScreen
from fate.tui.widgets.candidate_card import CandidateCard
from tests.fakes import NUMBERED, TEXTS, FakeEngine
from tests.tui.conftest import OPENING
from tests.tui.driving import cards, decisions, failing, page, press, state, until, until_open, writing


async def test_undo_brings_the_choice_back_as_it_was(game, store):
    app = game(FakeEngine(NUMBERED))
    async with app.run_test(size=(120, 40)) as pilot:
        await until_open(pilot)
        await press(pilot, "3")
        assert page(app) == OPENING + " Three 1."
        await press(pilot, "u")
        assert page(app) == OPENING
        assert cards(app) == ["One 1.", "Two 1.", "Three 1."]
        await press(pilot, "1")
        assert page(app) == OPENING + " One 1."
    assert len(list(store.choices())) == 3  # with the one that was not answered


async def test_what_was_taken_before_is_marked_after_an_undo(game, store):
    app = game()
    async with app.run_test(size=(120, 40)) as pilot:
        await until_open(pilot)
        await press(pilot, "3")
        await press(pilot, "2")
        for position in (1, 2):
            await press(pilot, "u")
            assert [card.has_class("-marked") for card in app.screen.query(CandidateCard)].index(True) == position


async def test_undo_while_candidates_are_written_drops_them(game, store):
    app = game(FakeEngine([" word" * 30] * 3, delay=0.02))
    async with app.run_test(size=(120, 40)) as pilot:
        await until_open(pilot)
        await press(pilot, "1", then="writing")
        await press(pilot, "u")
        assert page(app) == OPENING
        assert len(list(store.choices())) == 1


async def test_undo_at_the_opening_says_so_and_stays(game, store):
    app = game()
    async with app.run_test(size=(120, 40)) as pilot:
        await until_open(pilot)
        await pilot.press("u")
        await pilot.pause()
        assert decisions(store) == [None]
        assert state(app) == "this is where the story begins"


async def test_keys_that_come_at_once_answer_nothing_while_the_story_goes_back(game, store):
    app = game()
    async with app.run_test(size=(80, 24)) as pilot:
        await until_open(pilot)
        await press(pilot, "1")
        turn = writing(app)._turn
        app.post_message(events.Key("u", "u"))
        app.post_message(events.Key("1", "1"))
        await until(lambda: writing(app)._turn is not turn and writing(app)._state == "open")
    assert [choice.decision and choice.decision.kind for choice in store.choices()] == ["undone", None]


async def test_a_failed_undo_is_told_and_leaves_the_choice_open(game, store, monkeypatch):
    app = game()
    async with app.run_test(size=(120, 40)) as pilot:
        await until_open(pilot)
        await press(pilot, "1")
        with monkeypatch.context() as patched:
            patched.setattr(store, "decide", failing)
            await pilot.press("u")
            await until(lambda: len(app._notifications) == 1)
        assert [n.message for n in app._notifications] == ["Not kept: The disk is full."]
        assert page(app) == OPENING + TEXTS[0]
        await press(pilot, "2")
    assert store.path(store.stories()[0].id).text == OPENING + TEXTS[0] + TEXTS[1]


async def test_undo_at_the_opening_does_not_disturb_what_is_being_written(game, store):
    app = game(FakeEngine(NUMBERED, delay=0.05))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: isinstance(app.screen, WritingScreen) and any(cards(app)))
        await pilot.press("u")
        await until_open(pilot)
        assert cards(app) == ["One 1.", "Two 1.", "Three 1."]


async def test_each_of_several_undos_at_once_is_one_step_back(game, store):
    app = game(FakeEngine(NUMBERED))
    async with app.run_test(size=(120, 40)) as pilot:
        await until_open(pilot)
        for key in "123":
            await press(pilot, key)
        for _ in range(2):
            app.post_message(events.Key("u", "u"))
        await until(lambda: page(app) == OPENING + " One 1.")
        for _ in range(2):
            app.post_message(events.Key("U", "U"))
        await until(lambda: page(app) == OPENING + " One 1. Two 2. Three 3.")
    assert decisions(store) == ["chosen", "chosen", "chosen", None]


async def test_redo_follows_undo(game, store, monkeypatch):
    app = game(FakeEngine(NUMBERED))
    async with app.run_test(size=(120, 40)) as pilot:
        await until_open(pilot)
        await press(pilot, "2")
        await press(pilot, "u")
        await press(pilot, "U")
        assert page(app) == OPENING + " Two 1."
        monkeypatch.setattr("fate.tui.widgets.bar._READ", 0.3)
        await pilot.press("U")
        await until(lambda: state(app) == "nothing to redo")
        await until(lambda: state(app) == "choice 2 · which one?")


async def test_a_tie_that_did_not_lead_here_is_not_undone(game, store):
    app = game(FakeEngine(NUMBERED))
    async with app.run_test(size=(80, 24)) as pilot:
        await until_open(pilot)
        await press(pilot, "t")
        await pilot.press("b")
        await until(lambda: not isinstance(app.screen, WritingScreen))
        await pilot.press("home", "down")
        await press(pilot, "enter")
        await press(pilot, "u")
    assert decisions(store)[0] == "tie"


async def test_leaving_during_an_undo_that_finds_nothing_leaves(game, monkeypatch):
    app = game(FakeEngine(NUMBERED))
    async with app.run_test(size=(80, 24)) as pilot:
        await until_open(pilot)

        def slow(self):
            time.sleep(0.3)
            return False

        monkeypatch.setattr("fate.playthrough.Playthrough.undo", slow)
        await pilot.press("u", "q")
        await until(lambda: isinstance(app.screen, LibraryScreen), seconds=3)
