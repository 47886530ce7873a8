"""Passages that the reader wrote or edited."""

from textual import events
from textual.widgets import Static, TextArea

from fate.store import Store, StoreError
from fate.tui.memory import Draft
from fate.tui.screens.library import LibraryScreen
from fate.tui.screens.passage import PassageScreen
from fate.tui.screens.writing import WritingScreen
from tests.fakes import NUMBERED, FakeEngine
from tests.tui.conftest import OPENING
from tests.tui.driving import decisions, page, press, state, until, until_open, writing


async def test_a_passage_by_hand_was_not_drawn(game, store):
    app = game()
    async with app.run_test(size=(80, 24)) as pilot:
        await until_open(pilot)
        await press(pilot, "1")
        await pilot.press("w", *"so")
        await press(pilot, "enter")
        assert str(app.screen.query_one("#drawn", Static).render()) == ""


async def test_a_candidate_is_edited_before_it_is_taken(game, store):
    app = game(FakeEngine(NUMBERED))
    async with app.run_test(size=(120, 40)) as pilot:
        await until_open(pilot)
        await pilot.press("right", "e")
        assert app.screen.query_one(TextArea).text == "Two 1."
        await pilot.press("backspace", ",", "space", "t", "o", "o", ".")
        await press(pilot, "enter")
        assert page(app) == OPENING + " Two 1, too."
    (choice, _) = store.choices()
    assert choice.decision.kind == "edited"
    assert choice.by_hand[0].draft_id == choice.candidates[1].id


async def test_a_passage_of_ones_own_may_have_paragraphs_and_be_given_up(game, store):
    app = game(FakeEngine(NUMBERED))
    async with app.run_test(size=(80, 24)) as pilot:
        await until_open(pilot)
        await pilot.press("w", "x", "escape")
        assert decisions(store) == [None]
        await pilot.press("w", "backspace", "A", "ctrl+j", "ctrl+j", "B")
        await press(pilot, "enter")
        assert page(app) == OPENING + " A\n\nB"
        assert decisions(store) == ["written", None]


async def test_an_empty_passage_is_not_taken(game, store):
    app = game(FakeEngine(NUMBERED))
    async with app.run_test(size=(80, 24)) as pilot:
        await until_open(pilot)
        await pilot.press("w", "enter", "1", "enter")
        await until(lambda: decisions(store) == ["written", None])
    assert store.path(store.stories()[0].id).text == OPENING + " 1"


async def test_letters_and_enter_in_one_go_are_one_passage(game, store):
    app = game()
    async with app.run_test(size=(80, 24)) as pilot:
        await until_open(pilot)
        await pilot.press("w")
        await until(lambda: isinstance(app.screen, PassageScreen))
        for letter in "So it was.":
            app.post_message(events.Key(letter, letter))
        app.post_message(events.Key("enter", "\r"))
        await until(lambda: store.path(store.stories()[0].id).passages)
        assert store.path(store.stories()[0].id).passages == (" So it was.",)


async def test_what_was_typed_before_escape_is_there_again(game, store):
    app = game()
    async with app.run_test(size=(80, 24)) as pilot:
        await until_open(pilot)
        for before in ("", "So"):
            await pilot.press("w")
            await until(lambda: isinstance(app.screen, PassageScreen))
            assert app.screen.query_one(TextArea).text == before
            await pilot.press("S", "o", "escape") if not before else await pilot.press("escape")
            await until(lambda: isinstance(app.screen, WritingScreen))


async def test_an_edit_that_was_given_up_waits_for_its_candidate_and_for_no_other_passage(game):
    app = game(FakeEngine(NUMBERED))

    async def offered_by(key):
        await pilot.press(key)
        await until(lambda: isinstance(app.screen, PassageScreen))
        return app.screen.query_one(TextArea).text

    async def leave():
        await pilot.press("escape")
        await until(lambda: isinstance(app.screen, WritingScreen))

    async with app.run_test(size=(80, 24)) as pilot:
        await until_open(pilot)
        assert await offered_by("e") == "One 1."
        await pilot.press("S", "o")
        await leave()
        assert await offered_by("e") == "One 1.So"
        await leave()
        assert await offered_by("w") == ""
        await leave()
        await press(pilot, "2")
        assert await offered_by("e") == "One 2."
        await leave()
        await press(pilot, "u")
        await pilot.press("left")
        assert await offered_by("e") == "One 1.So"


async def test_a_passage_that_was_given_up_waits_while_the_story_is_left(game):
    app = game()
    async with app.run_test(size=(80, 24)) as pilot:
        await until_open(pilot)
        await pilot.press("w")
        await until(lambda: isinstance(app.screen, PassageScreen))
        await pilot.press("S", "o", "escape")
        await until(lambda: isinstance(app.screen, WritingScreen))
        await pilot.press("q")
        await until(lambda: isinstance(app.screen, LibraryScreen))
        await pilot.press("enter")
        await until_open(pilot)
        await pilot.press("w")
        await until(lambda: isinstance(app.screen, PassageScreen))
        assert app.screen.query_one(TextArea).text == "So"


async def test_a_passage_that_was_given_up_waits_until_the_next_start(game):
    async def offered_by_w(keys):
        app = game(begin=False, opening=None) if keys else game()
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press(*keys)
            await until_open(pilot)
            await pilot.press("w")
            await until(lambda: isinstance(app.screen, PassageScreen))
            found = app.screen.query_one(TextArea).text
            await pilot.press(*"So", "escape")
            await until(lambda: isinstance(app.screen, WritingScreen))
            return found

    assert await offered_by_w([]) == ""
    assert await offered_by_w(["enter"]) == "So"


async def test_a_passage_that_is_begun_before_the_candidates_takes_their_place(game, store):
    engine = FakeEngine(NUMBERED)
    app = game(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await until_open(pilot)
        with app.engine_in_use:  # so that nothing can be written
            await pilot.press(*"rwboy 1", "enter")
            await until(lambda: "your words are next" in state(app))
            assert not writing(app)._turn.rows
            await pilot.press("u", "w", "1")  # what was given comes first
        await until(lambda: decisions(store)[:2] == ["none_good", "written"])
        await until_open(pilot)
        assert page(app) == OPENING + " boy 1"


async def test_letters_that_come_with_w_are_the_passage(game, store):
    app = game(FakeEngine(NUMBERED))
    async with app.run_test(size=(80, 24)) as pilot:
        await until_open(pilot)
        for key in "wq1rs":
            app.post_message(events.Key(key, key))
        app.post_message(events.Key("enter", "\r"))
        await until(lambda: page(app) == OPENING + " q1rs")
        assert decisions(store)[:1] == ["written"]
        assert not Draft(writing(app)._path.story_id).text


async def test_what_is_typed_is_on_disk_from_the_first_letter(game):
    app = game(FakeEngine(NUMBERED))
    async with app.run_test(size=(80, 24)) as pilot:
        await until_open(pilot)
        await pilot.press("w", "S")
        await until(lambda: Draft(writing(app)._path.story_id).text == "S")
        await pilot.press("ctrl+q")


async def test_an_emptied_draft_is_gone(game):
    app = game(FakeEngine(NUMBERED))
    async with app.run_test(size=(80, 24)) as pilot:
        await until_open(pilot)
        for keys in (["S", "o"], ["backspace", "backspace"], []):
            await pilot.press("w")
            await until(lambda: isinstance(app.screen, PassageScreen))
            words = app.screen.query_one(TextArea).text
            await pilot.press(*keys, "escape")
            await until(lambda: isinstance(app.screen, WritingScreen))
        assert words == ""


async def test_a_passage_that_is_begun_before_there_is_a_model_takes_its_place_in_the_story(game, store):
    app = game(loaded=False)
    app._load = lambda config: None
    async with app.run_test(size=(80, 24)) as pilot:
        await until(lambda: isinstance(app.screen, WritingScreen))
        await pilot.press("w", *"boy", "enter")
        await until(lambda: isinstance(app.screen, WritingScreen))
        assert "then your words" in state(app)
        app.engine = FakeEngine(NUMBERED)
        await until(lambda: page(app) == OPENING + " boy")
        assert decisions(store)[:1] == ["written"]
        assert next(store.choices()).decision.milliseconds == 0  # there was nothing to read


async def test_an_edit_that_changes_nothing_is_a_choice_with_its_paragraph(game, store):
    app = game(FakeEngine(["\n\nA new day.", " Two.", " Three."]))
    async with app.run_test(size=(80, 24)) as pilot:
        await until_open(pilot)
        await pilot.press("e")
        await pilot.pause(0.2)
        await press(pilot, "enter")
        assert page(app) == OPENING + "\n\nA new day."
        await pilot.press("e", "!")
        await press(pilot, "enter")
        assert page(app) == OPENING + "\n\nA new day.\n\nA new day.!"
    assert decisions(store) == ["chosen", "edited", None]


async def test_words_that_could_not_be_kept_come_back(game, store, monkeypatch):
    app = game(FakeEngine(NUMBERED))
    async with app.run_test(size=(80, 24)) as pilot:
        await until_open(pilot)

        def full(self, choice, decision, by_hand=None):
            raise StoreError("The disk is full.")

        (story,) = (story.id for story in store.stories())
        with monkeypatch.context() as patch:
            patch.setattr(Store, "decide", full)
            await pilot.press("w", *"Mine", "enter")
            await until(lambda: writing(app)._state == "open" and Draft(story).text)
        await pilot.press("w")
        await until(lambda: not isinstance(app.screen, WritingScreen))
        assert app.screen.query_one(TextArea).text == "Mine"
        await press(pilot, "enter")
        assert page(app) == OPENING + " Mine"
        assert not Draft(story).text
