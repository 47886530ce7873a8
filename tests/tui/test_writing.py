"""The writing screen: its keys, from the first candidates to the end of a story."""

import asyncio
from dataclasses import replace

import pytest
from textual import events
from textual.widgets._footer import FooterKey

from fate.store import Store, StoreError
from fate.tui.screens.keys import KeysScreen
from fate.tui.screens.library import LibraryScreen
from fate.tui.screens.writing import WritingScreen
from fate.tui.widgets.candidate_card import CandidateCard
from fate.tui.widgets.story_view import StoryView
from tests.fakes import NUMBERED, TEXTS, FakeEngine
from tests.tui.conftest import OPENING
from tests.tui.driving import cards, decisions, page, press, until, until_open, words_on, writing


async def test_three_choices_by_key_are_in_the_database_before_the_screen_shows_them(game, store):
    app = game(FakeEngine(NUMBERED))
    async with app.run_test(size=(120, 40)) as pilot:
        await until_open(pilot)
        for turn, key in enumerate("123", start=1):
            await press(pilot, key)
            assert len([choice for choice in store.choices() if choice.decision]) == turn
            assert page(app).endswith(store.path(store.stories()[0].id).text)
    assert store.path(store.stories()[0].id).text == OPENING + " One 1. Two 2. Three 3."


async def test_arrows_mark_and_enter_takes(game, store):
    app = game()
    async with app.run_test(size=(120, 40)) as pilot:
        await until_open(pilot)
        await pilot.press("right", "right", "right", "left")
        marked = [card.has_class("-marked") for card in app.screen.query(CandidateCard)]
        assert marked == [False, False, True]
        assert "▶" in str(app.screen.query(CandidateCard)[2].border_title)
        await press(pilot, "enter")
    assert store.path(store.stories()[0].id).text == OPENING + TEXTS[2]


async def test_a_click_takes(game, store):
    app = game()
    async with app.run_test(size=(120, 40)) as pilot:
        await until_open(pilot)
        await pilot.click("#card-1")
        await until(lambda: writing(app)._turn.number == 2)
    assert store.path(store.stories()[0].id).text == OPENING + TEXTS[1]


async def test_reroll_keeps_the_three_as_none_good_and_offers_others(game, store):
    app = game(FakeEngine(NUMBERED))
    async with app.run_test(size=(120, 40)) as pilot:
        await until_open(pilot)
        await press(pilot, "r")
        assert cards(app) == ["One 2.", "Two 2.", "Three 2."]
        assert decisions(store) == ["none_good", None]
        await press(pilot, "u")
        assert cards(app) == ["One 1.", "Two 1.", "Three 1."]
        assert decisions(store) == ["undone", None]


async def test_candidates_past_an_ending_wait_where_they_were_left(game, store):
    app = game(FakeEngine(reasons=("eos",) * 3))
    async with app.run_test(size=(120, 40)) as pilot:
        await until_open(pilot)
        await press(pilot, "1", then="ended")
        await press(pilot, "r")
        left = cards(app)
        await pilot.press("q")
        await until(lambda: isinstance(app.screen, LibraryScreen))
        await pilot.press("enter")
        await until_open(pilot)
        assert cards(app) == left
        assert "the end" not in page(app)


async def test_leaving_loses_nothing_and_resuming_shows_the_same_candidates(game, store):
    app = game(FakeEngine(NUMBERED))
    async with app.run_test(size=(120, 40)) as pilot:
        await until_open(pilot)
        await press(pilot, "2")
        await pilot.press("q")
        await pilot.pause()
        assert isinstance(app.screen, LibraryScreen)
        await pilot.press("enter")
        await until_open(pilot)
        assert page(app) == OPENING + " Two 1."
        assert cards(app) == ["One 2.", "Two 2.", "Three 2."]


async def test_what_the_screen_says_of_keys_follows_the_keymap(game):
    app = game(
        FakeEngine(reasons=("eos", "sentence", "sentence")), keymap={"writing.reroll": "n", "writing.undo": "f2"}
    )
    async with app.run_test(size=(120, 40)) as pilot:
        await until_open(pilot)
        await press(pilot, "1", then="ended")
        assert "n writes on · f2 goes back · q leaves" in page(app)


async def test_an_ending_is_shown_and_may_be_refused_or_taken(game, store):
    app = game(FakeEngine(reasons=("eos", "sentence", "sentence")))
    async with app.run_test(size=(120, 40)) as pilot:
        await until_open(pilot)
        assert cards(app)[0].endswith("— the end —")
        await press(pilot, "1", then="ended")
        assert "— the end —" in page(app)
        assert "r writes on" in page(app)
        assert "Choose" not in words_on(app)
        await press(pilot, "r")
        assert "Choose" in words_on(app)
        assert "the end" not in page(app)
        assert len(list(store.choices())) == 2


async def test_the_keys_are_listed_from_the_bindings(game):
    app = game()
    async with app.run_test(size=(120, 40)) as pilot:
        await until_open(pilot)
        await pilot.press("question_mark")
        await pilot.pause()
        assert isinstance(app.screen, KeysScreen)
        shown = words_on(app)
        for binding in (b for b in WritingScreen.BINDINGS if b.action[:3] != "why"):  # nobody is asked why
            assert binding.tooltip in shown
        await pilot.press("escape")
        assert isinstance(app.screen, WritingScreen)


async def test_what_a_model_writes_is_never_markup_nor_obeyed_by_the_terminal(game):
    app = game(FakeEngine(["[bold]x[/bold] \x1b[31mred \x07", " ‮drow\x00 ", " 猫が[/] e\u0301"]))
    async with app.run_test(size=(120, 40)) as pilot:
        await until_open(pilot)
        one, two, three = cards(app)
        assert one == "[bold]x[/bold] ␛[31mred ␇"
        assert "\x00" not in two
        assert "‮" not in two
        assert three == "猫が[/] e\u0301"


async def test_a_failed_write_is_told_and_the_choice_can_be_made_again(game, store, monkeypatch):
    app = game()
    async with app.run_test(size=(120, 40)) as pilot:
        await until_open(pilot)
        with monkeypatch.context() as patched:
            patched.setattr(store, "decide", lambda *_: (_ for _ in ()).throw(StoreError("The disk is full.")))
            await pilot.press("1")
            await until(lambda: len(app._notifications) == 1)
            assert [n.message for n in app._notifications] == ["Not kept: The disk is full."]
            assert page(app) == OPENING
        await until(lambda: writing(app)._state == "open")
        await press(pilot, "1")
    assert store.path(store.stories()[0].id).text == OPENING + TEXTS[0]


@pytest.mark.parametrize("size", [(120, 40), (80, 24), (60, 20), (40, 12)])
async def test_every_size_shows_the_story_and_three_numbered_candidates(game, size):
    app = game()
    async with app.run_test(size=size) as pilot:
        await until_open(pilot)
        shown = [widget.region for widget in app.screen.query("StoryView, CandidateCard")]
        for region in shown:
            assert region.height >= 2
            assert app.screen.region.contains_region(region)
        titles = [str(card.border_title) for card in app.screen.query(CandidateCard)]
        assert titles == ["▶ 1", "2", "3"]
        side_by_side = len({card.region.y for card in app.screen.query(CandidateCard)}) == 1
        assert side_by_side == (size[0] >= 100)


async def test_a_resize_while_playing_is_harmless(game, store):
    app = game(FakeEngine(NUMBERED))
    async with app.run_test(size=(120, 40)) as pilot:
        await until_open(pilot)
        for size in ((40, 12), (160, 50), (80, 24)):
            await pilot.resize_terminal(*size)
            await press(pilot, "1")
    assert store.stories()[0].steps == 3


async def test_stories_by_another_tokenizer_go_on(game, store):
    first = game(FakeEngine(NUMBERED))
    async with first.run_test(size=(120, 40)) as pilot:
        await until_open(pilot)
        await press(pilot, "1")
        await press(pilot, "2")
    other = FakeEngine([" Other {n}."] * 3)
    other.info = replace(other.info, id="other", tokenizer_sha256="o" * 64)
    second = game(other, opening=None, begin=False)
    async with second.run_test(size=(120, 40)) as pilot:
        await pilot.press("enter")
        await until_open(pilot)
        await press(pilot, "1")
        assert cards(second) == ["Other 1."] * 3


async def test_past_the_end_a_reroll_stays_past_the_end(game, store):
    app = game(FakeEngine(reasons=("eos", "sentence", "sentence")))
    async with app.run_test(size=(120, 40)) as pilot:
        await until_open(pilot)
        await press(pilot, "1", then="ended")
        await press(pilot, "r")
        await press(pilot, "r")
        assert decisions(store) == ["chosen", "none_good", None]


async def test_undo_brings_back_the_candidates_before_an_end_and_their_keys(game, store):
    app = game(FakeEngine(reasons=("eos", "sentence", "sentence")))

    def keys():
        return [key.description for key in app.screen.query(FooterKey)]

    async with app.run_test(size=(120, 40)) as pilot:
        await until_open(pilot)
        with_candidates = keys()
        await press(pilot, "1", then="ended")
        await until(lambda: "Edit" not in keys())
        await press(pilot, "u")
        await until(lambda: keys() == with_candidates)
        await press(pilot, "1", then="ended")
        await press(pilot, "r")
        await press(pilot, "1", then="ended")
        await press(pilot, "r")
        await press(pilot, "2")
        for _ in range(3):  # to what follows the second end, the first end, and the opening
            await press(pilot, "u")
            await until(lambda: keys() == with_candidates)
        assert page(app) == OPENING


async def test_a_decision_is_committed_before_the_page_changes(game, store, monkeypatch):
    app, pages = game(), []
    decide = store.decide

    def watched(*arguments):
        decide(*arguments)
        pages.append((page(app), store.path(store.stories()[0].id).text))

    monkeypatch.setattr(store, "decide", watched)
    async with app.run_test(size=(120, 40)) as pilot:
        await until_open(pilot)
        await press(pilot, "1")
    assert pages == [(OPENING, OPENING + TEXTS[0])]


async def test_the_newest_passage_stays_in_sight_after_a_resize(game):
    app = game(FakeEngine([" A long passage that goes on for a while, and then goes on." * 6] * 3))
    async with app.run_test(size=(120, 40)) as pilot:
        await until_open(pilot)
        for _ in range(6):
            await press(pilot, "1")
        for size in ((80, 24), (40, 12), (120, 40)):
            await pilot.resize_terminal(*size)
            await pilot.pause(0.2)
            story = app.screen.query_one("StoryView")
            assert story.scroll_offset.y == story.max_scroll_y


async def test_a_tie_is_kept_and_others_are_offered(game, store):
    app = game(FakeEngine(NUMBERED))
    async with app.run_test(size=(120, 40)) as pilot:
        await until_open(pilot)
        await press(pilot, "t")
        assert decisions(store) == ["tie", None]
        assert cards(app) == ["One 2.", "Two 2.", "Three 2."]


async def test_a_resize_keeps_the_place_that_was_scrolled_to(game):
    app = game(opening="A door opened. " * 400)
    async with app.run_test(size=(80, 24)) as pilot:
        await until_open(pilot)
        story = app.screen.query_one(StoryView)
        await pilot.press("pageup", "pageup")
        await until(lambda: story.scroll_y < story.max_scroll_y - story.size.height)
        before = story.scroll_y
        await pilot.resize_terminal(80, 23)
        await pilot.pause(0.3)
        assert story.scroll_y == before


async def test_an_answer_given_while_streaming_is_kept_before_the_screen_is_left(game, store):
    app = game(FakeEngine([" word" * 60] * 3, delay=0.05))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(lambda: isinstance(app.screen, WritingScreen) and any(cards(app)))
        await asyncio.sleep(0.3)
        await pilot.press("2", "q")
        await until(lambda: isinstance(app.screen, LibraryScreen))
    assert decisions(store) == ["chosen"]


@pytest.mark.parametrize("key", ["e", "w", "b"])
async def test_a_key_pressed_twice_opens_one_screen(game, key):
    app = game(FakeEngine(NUMBERED))
    async with app.run_test(size=(80, 24)) as pilot:
        await until_open(pilot)
        for _ in range(2):
            app.post_message(events.Key(key, key))
        await pilot.pause(0.3)
        assert not isinstance(app.screen, WritingScreen)
        await pilot.press("escape")
        await until(lambda: isinstance(app.screen, WritingScreen))


async def test_a_database_that_cannot_be_read_does_not_end_the_game(game, monkeypatch):
    app = game(FakeEngine(NUMBERED))
    async with app.run_test(size=(80, 24)) as pilot:
        await until_open(pilot)

        def locked(self, story_id):
            raise StoreError("It is in use.")

        monkeypatch.setattr(Store, "branches", locked)
        await pilot.press("b")
        await pilot.pause(0.3)
        assert isinstance(app.screen, WritingScreen)
        await press(pilot, "1")


async def test_the_story_or_the_marked_candidate_is_copied_and_that_is_said(game):
    app = game()
    async with app.run_test(size=(100, 30)) as pilot:
        await until_open(pilot)
        await press(pilot, "3")
        await pilot.press("y")
        await pilot.pause()
        assert app.clipboard == f"{OPENING}{TEXTS[2]}"
        await pilot.press("right", "Y")
        await pilot.pause()
        assert app.clipboard == TEXTS[1].strip()
        said = [notification.message for notification in app._notifications]
    assert said == [
        "Copied the story “Nobody in Black Creek went near the old mill…”, 23 words.",
        "Copied candidate 2, 9 words.",
    ]


async def test_the_story_is_saved_without_leaving_it(game, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    app = game(FakeEngine((f"{TEXTS[0]}\x1b[31m", *TEXTS[1:])))
    async with app.run_test(size=(80, 24)) as pilot:
        await until_open(pilot)
        await press(pilot, "1")
        await pilot.press("s", "S")
        await until(lambda: all(any(f.read_text() for f in tmp_path.glob(f"*.{suffix}")) for suffix in ("md", "txt")))
    assert next(tmp_path.glob("*.md")).read_text().endswith(f"{OPENING}{TEXTS[0]}\N{SYMBOL FOR ESCAPE}[31m\n")


async def test_what_is_copied_cannot_steer_the_terminal_that_it_is_pasted_into(game):
    app = game(FakeEngine(["\x1b[31mRed\r"] * 3))
    async with app.run_test(size=(100, 30)) as pilot:
        await until_open(pilot)
        await pilot.press("Y")
        await pilot.pause()
        assert app.clipboard == "␛[31mRed"
