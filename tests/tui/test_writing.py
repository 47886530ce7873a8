import asyncio
import time
from dataclasses import replace
from itertools import groupby

import pytest
from textual import events
from textual.widgets import Static, TextArea

from fate.store import Store, StoreError
from fate.tui import FateApp
from fate.tui.messages import Offered
from fate.tui.screens.keys import KeysScreen
from fate.tui.screens.library import LibraryScreen
from fate.tui.screens.passage import PassageScreen
from fate.tui.screens.writing import WritingScreen
from fate.tui.turn import GRACE  # before it is shortened
from fate.tui.widgets.candidate_card import CandidateCard
from fate.tui.widgets.story_view import StoryView
from fate.tui.widgets.why import Why
from tests.fakes import TEXTS, FakeEngine
from tests.tui.conftest import OPENING
from tests.tui.driving import cards, page, press, state, until, until_open, words_on, writing

NUMBERED = [" One {n}.", " Two {n}.", " Three {n}."]


def decisions(store: Store):
    return [choice.decision.kind if choice.decision else None for choice in store.choices()]


async def test_three_choices_by_key_are_in_the_database_before_the_screen_shows_them(game, store):
    app = game(FakeEngine(NUMBERED))
    async with app.run_test(size=(120, 40)) as pilot:
        await until_open(pilot)
        for turn, key in enumerate("123", start=1):
            await press(pilot, key)
            assert len([choice for choice in store.choices() if choice.decision]) == turn
            assert page(app).endswith(store.path(store.stories()[0].id).text)
    assert store.path(store.stories()[0].id).text == OPENING + " One 1. Two 2. Three 3."


async def test_candidates_stream_in_together_and_take_keys_after_the_grace(game, store, monkeypatch):
    assert GRACE == 0.25
    monkeypatch.setattr("fate.tui.turn.GRACE", GRACE)
    app = game(FakeEngine(delay=0.02))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: isinstance(app.screen, WritingScreen) and any(cards(app)))
        assert writing(app)._state == "writing"
        await pilot.press("1")  # meant for the screen before
        assert writing(app)._turn.wish is None
        await until_open(pilot)
        assert [text.strip() for text in cards(app)] == [text.strip() for text in TEXTS]


async def test_a_candidate_can_be_taken_before_it_is_finished(game, store):
    app = game(FakeEngine([" word" * 400] * 3, delay=0.02))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: isinstance(app.screen, WritingScreen) and any(cards(app)))
        await asyncio.sleep(0.4)
        await press(pilot, "2", then="writing")
        (choice,) = store.choices()
        chosen = choice.candidates[1]
        assert choice.decision.candidate_id == chosen.id
        assert chosen.written.finish_reason == "cancelled"
        assert 0 < len(chosen.written.text) < 2000
        assert OPENING + chosen.written.text in page(app)


async def test_a_reroll_need_not_wait_either(game, store):
    app = game(FakeEngine([" word" * 400] * 3, delay=0.02))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: isinstance(app.screen, WritingScreen) and any(cards(app)))
        await asyncio.sleep(0.4)
        await press(pilot, "r", then="writing")
        (choice,) = store.choices()
        assert choice.decision.kind == "none_good"
        assert {c.written.finish_reason for c in choice.candidates} == {"cancelled"}


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


async def test_leaving_while_candidates_are_written_stops_the_writing(game, store):
    engine = FakeEngine([" word" * 500] * 3, delay=0.02)
    app = game(engine)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: isinstance(app.screen, WritingScreen) and any(cards(app)))
        await pilot.press("q")
        await until(lambda: not app.engine_in_use.locked(), seconds=3)
    assert list(store.choices()) == []


async def test_parameters_are_hidden_until_asked_for_and_the_decision_says_if_they_were_seen(game, store):
    app = game()
    async with app.run_test(size=(120, 40)) as pilot:
        await until_open(pilot)
        card = app.screen.query(CandidateCard)[0]
        assert str(card.border_title) == "▶ 1"
        await press(pilot, "1")
        await pilot.press("p")
        settings = list(store.choices())[1].candidates[0].written.settings
        assert f"k {settings.top_k}" in str(card.border_subtitle)
        await press(pilot, "1")
        assert card.border_subtitle == ""  # asked for once, told once
        await press(pilot, "1")
    assert [choice.decision.blind for choice in store.choices() if choice.decision] == [True, False, True]


async def test_once_it_is_chosen_the_page_tells_how_a_passage_was_drawn(game, store):
    app = game()
    async with app.run_test(size=(80, 24)) as pilot:
        await until_open(pilot)
        drawn = app.screen.query_one("#drawn", Static)
        assert str(drawn.render()) == ""
        await press(pilot, "2")
        taken = next(store.choices()).candidates[1].written.settings
        await until(lambda: str(drawn.render()) == f"drawn with {taken.spelled_out()}")
        await pilot.resize_terminal(50, 30)
        await until(lambda: str(drawn.render()) == f"with {taken.summary()}")
        await press(pilot, "u")
        assert str(drawn.render()) == ""
        await press(pilot, "1")
    assert [choice.decision.blind for choice in store.choices() if choice.decision] == [False]  # it had been told


async def test_where_it_is_not_told_it_is_not_revealed_either(game, store):
    app = game()
    async with app.run_test(size=(40, 12)) as pilot:
        await until_open(pilot)
        await press(pilot, "2")
        await press(pilot, "u")
        await press(pilot, "1")
    assert [choice.decision.blind for choice in store.choices() if choice.decision] == [True]


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


async def test_a_passage_by_hand_was_not_drawn(game, store):
    app = game()
    async with app.run_test(size=(80, 24)) as pilot:
        await until_open(pilot)
        await press(pilot, "1")
        await pilot.press("w", *"so")
        await press(pilot, "enter")
        assert str(app.screen.query_one("#drawn", Static).render()) == ""


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


async def test_an_engine_that_breaks_is_told(game, store):
    engine = FakeEngine()
    engine.generate = lambda *_: (_ for _ in ()).throw(ValueError("the prompt is too long"))
    app = game(engine)
    async with app.run_test(size=(120, 40)):
        await until(lambda: len(app._notifications) == 1)
        assert [n.message for n in app._notifications] == [
            "No candidates could be written: ValueError('the prompt is too long')."
        ]


async def test_messages_of_an_offer_come_in_order_and_carry_its_choice(game, store):
    seen = []
    app = game(FakeEngine(delay=0.02))

    def watch(message):
        if isinstance(message, Offered):
            seen.append(message)

    async with app.run_test(size=(120, 40), message_hook=watch) as pilot:
        await until_open(pilot)
    offers = [message.offer for message in seen]
    assert len({offer.choice_id for offer in offers}) == 1
    assert [bool(offer.choice) for offer in offers] == [False] * (len(offers) - 1) + [True]
    lengths = [sum(len(row.text) for row in offer.rows) for offer in offers]
    assert lengths == sorted(lengths)


async def test_the_next_candidates_come_after_the_key_and_its_decision(game, store):
    seen = []
    app = game(FakeEngine(delay=0.01))

    def watch(message):
        if isinstance(message, Offered):
            seen.append((message.round, len(decided(store))))
        elif isinstance(message, events.Key) and message.key == "2":
            seen.append(("key", len(decided(store))))

    def decided(store):
        return [choice for choice in store.choices() if choice.decision]

    async with app.run_test(size=(120, 40), message_hook=watch) as pilot:
        await until_open(pilot)
        await press(pilot, "2")
    order = [what for what, _ in groupby(seen)]
    assert order == [(1, 0), ("key", 0), (2, 1)]


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


def failing(*_, **__):
    raise StoreError("The disk is full.")


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


async def test_after_a_failure_r_tries_again(game, store, monkeypatch):
    app = game()
    with monkeypatch.context() as patched:
        patched.setattr(store, "add_choice", failing)
        async with app.run_test(size=(120, 40)) as pilot:
            await until(lambda: len(app._notifications) == 1)
            assert "r tries again" in state(app)
            patched.undo()
            await press(pilot, "r")
            assert len(list(store.choices())) == 1


async def test_past_the_end_a_reroll_stays_past_the_end(game, store):
    app = game(FakeEngine(reasons=("eos", "sentence", "sentence")))
    async with app.run_test(size=(120, 40)) as pilot:
        await until_open(pilot)
        await press(pilot, "1", then="ended")
        await press(pilot, "r")
        await press(pilot, "r")
        assert decisions(store) == ["chosen", "none_good", None]


async def test_parameters_that_were_seen_once_are_not_forgotten(game, store):
    app = game()
    async with app.run_test(size=(120, 40)) as pilot:
        await until_open(pilot)
        await pilot.press("p", "p")
        await press(pilot, "r")
        await press(pilot, "u")
        await press(pilot, "1")
    assert [choice.decision.blind for choice in store.choices() if choice.decision] == [False]


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


async def test_undo_at_the_opening_does_not_disturb_what_is_being_written(game, store):
    app = game(FakeEngine(NUMBERED, delay=0.05))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: isinstance(app.screen, WritingScreen) and any(cards(app)))
        await pilot.press("u")
        await until_open(pilot)
        assert cards(app) == ["One 1.", "Two 1.", "Three 1."]


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


async def test_redo_follows_undo(game, store):
    app = game(FakeEngine(NUMBERED))
    async with app.run_test(size=(120, 40)) as pilot:
        await until_open(pilot)
        await press(pilot, "2")
        await press(pilot, "u")
        await press(pilot, "U")
        assert page(app) == OPENING + " Two 1."
        await pilot.press("U")
        await until(lambda: state(app) == "nothing to redo")


async def test_writing_pauses_and_goes_on(game, store):
    engine = FakeEngine([" word" * 60] * 3, delay=0.02)
    app = game(engine)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: isinstance(app.screen, WritingScreen) and any(cards(app)))
        await pilot.press("space")
        assert "paused" in state(app)
        await asyncio.sleep(0.3)
        before = cards(app)
        await asyncio.sleep(0.3)
        assert cards(app) == before
        await pilot.press("space")
        await until_open(pilot)
        assert len(cards(app)[0]) > len(before[0])


async def test_a_candidate_that_is_taken_while_paused_is_what_is_shown(game, store):
    app = game(FakeEngine([" word" * 400] * 3, delay=0.01))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: isinstance(app.screen, WritingScreen) and any(cards(app)))
        await asyncio.sleep(0.3)
        await pilot.press("space")
        await asyncio.sleep(0.3)
        shown = cards(app)[1].removesuffix("▏")
        await press(pilot, "2")
        assert store.path(store.stories()[0].id).passages == (f" {shown}",)


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


async def test_escape_ends_candidates_where_they_are(game, store):
    app = game(FakeEngine([" word" * 400] * 3, delay=0.02))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: isinstance(app.screen, WritingScreen) and any(cards(app)))
        await pilot.press("escape")  # meant for the screen before
        await asyncio.sleep(0.3)
        assert writing(app)._state == "writing"
        await pilot.press("escape")
        await until_open(pilot)
        (choice,) = store.choices()
        assert {c.written.finish_reason for c in choice.candidates} == {"cancelled"}
        assert choice.decision is None


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


async def test_an_answer_given_while_streaming_is_kept_before_the_screen_is_left(game, store):
    app = game(FakeEngine([" word" * 60] * 3, delay=0.05))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(lambda: isinstance(app.screen, WritingScreen) and any(cards(app)))
        await asyncio.sleep(0.3)
        await pilot.press("2", "q")
        await until(lambda: isinstance(app.screen, LibraryScreen))
    assert decisions(store) == ["chosen"]


async def test_words_that_could_not_be_kept_come_back(game, store, monkeypatch):
    app = game(FakeEngine(NUMBERED))
    async with app.run_test(size=(80, 24)) as pilot:
        await until_open(pilot)

        def full(self, choice, decision, by_hand=None):
            raise StoreError("The disk is full.")

        with monkeypatch.context() as patch:
            patch.setattr(Store, "decide", full)
            await pilot.press("w", *"Mine", "enter")
            await until(lambda: writing(app)._state == "open" and writing(app)._draft)
        await pilot.press("w")
        await until(lambda: not isinstance(app.screen, WritingScreen))
        assert app.screen.query_one(TextArea).text == "Mine"
        await press(pilot, "enter")
        assert page(app) == OPENING + " Mine"
        assert writing(app)._draft == ""


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


def shown_why(app) -> str:
    return str(writing(app).query_one(Why).visual).replace("\N{NO-BREAK SPACE}", " ")


async def test_one_key_says_why_and_the_next_candidates_do_not_wait_for_it(game, store):
    app = game()
    app.set_reactive(FateApp.config, app.config.changed("reasons", True))
    async with app.run_test(size=(80, 24)) as pilot:
        await until_open(pilot)
        assert shown_why(app) == ""
        await pilot.press("4")  # nothing was said yet
        await press(pilot, "1")
        assert shown_why(app) == "why? 4 plot 5 style 6 character 7 surprise 8 coherence"
        await pilot.press("7")
        await until(lambda: shown_why(app) == "why: surprise")
        await pilot.press("4")  # it was said
        await press(pilot, "r")
        assert shown_why(app).startswith("why? 4 plot")
        await press(pilot, "2")  # nobody has to say why
        await press(pilot, "t")
        assert shown_why(app) == ""  # there is no reason for a tie
        await press(pilot, "u")
        assert shown_why(app) == ""
    said = [choice.decision.reason if choice.decision else None for choice in store.choices()]
    assert said[:3] == ["surprise", None, None]


async def test_nobody_is_asked_why_unless_the_settings_say_so(game, store):
    app = game()
    async with app.run_test(size=(80, 24)) as pilot:
        await until_open(pilot)
        await press(pilot, "1")
        assert not writing(app).query_one(Why).display
        await pilot.press("4")
        await pilot.pause(0.1)
    assert next(store.choices()).decision.reason is None


async def test_a_choice_whose_parameters_were_seen_is_not_blind_after_a_restart(game, store):
    app = game()
    async with app.run_test(size=(100, 30)) as pilot:
        await until_open(pilot)
        await pilot.press("p")
        await until(lambda: "damp" in str(writing(app).query_one("#card-0").border_subtitle))
        await pilot.press("p")
        await until(lambda: "damp" not in str(writing(app).query_one("#card-0").border_subtitle))
    again = game(opening=None, begin=False)
    async with again.run_test(size=(100, 30)) as pilot:
        await pilot.press("enter")
        await until_open(pilot)
        await press(pilot, "1")
        await press(pilot, "1")
    assert [choice.decision.blind for choice in store.choices() if choice.decision] == [False, True]


async def test_parameters_are_not_shown_where_that_could_not_be_written_down(game, store, monkeypatch):
    def full(self, choice_id):
        raise StoreError("The disk is full.")

    app = game()
    async with app.run_test(size=(100, 30)) as pilot:
        await until_open(pilot)
        monkeypatch.setattr("fate.store.Store.reveal", full)
        await pilot.press("p")
        await until(lambda: app._notifications)
        assert "damp" not in str(writing(app).query_one("#card-0").border_subtitle)


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
    app = game()
    async with app.run_test(size=(80, 24)) as pilot:
        await until_open(pilot)
        await press(pilot, "1")
        await pilot.press("s", "S")
        await until(lambda: all(any(f.read_text() for f in tmp_path.glob(f"*.{suffix}")) for suffix in ("md", "txt")))
    assert next(tmp_path.glob("*.md")).read_text().endswith(f"{OPENING}{TEXTS[0]}\n")


async def test_what_is_copied_cannot_steer_the_terminal_that_it_is_pasted_into(game):
    app = game(FakeEngine(["\x1b[31mRed\r"] * 3))
    async with app.run_test(size=(100, 30)) as pilot:
        await until_open(pilot)
        await pilot.press("Y")
        await pilot.pause()
        assert app.clipboard == "␛[31mRed"


async def test_what_was_written_while_the_reader_read_is_offered_at_once(game, store):
    engine = FakeEngine(NUMBERED, several=True)
    app = game(engine)
    async with app.run_test(size=(120, 40)) as pilot:
        await until_open(pilot)
        await until(lambda: len(engine.prompts) == 4)  # the first, and one after each of the three
        await until(lambda: not app.engine_in_use.locked())
        assert len(list(store.choices())) == 1
        await press(pilot, "2")
        assert [text.strip() for text in cards(app)] == ["One 3.", "Two 3.", "Three 3."]
    assert len(list(store.choices())) == 2


async def test_nothing_is_written_ahead_where_the_setting_says_so(game, store):
    engine = FakeEngine(NUMBERED, several=True)
    app = game(engine)
    app.config = app.config.changed("look_ahead", False)
    async with app.run_test(size=(120, 40)) as pilot:
        await until_open(pilot)
        await press(pilot, "2")
        assert len(engine.prompts) == 2


async def test_nothing_is_written_ahead_on_battery(game, store, monkeypatch):
    monkeypatch.setattr("fate.tui.game.on_battery", lambda: True)
    engine = FakeEngine(NUMBERED, several=True)
    app = game(engine)
    async with app.run_test(size=(120, 40)) as pilot:
        await until_open(pilot)
        await press(pilot, "2")
        assert len(engine.prompts) == 2


async def test_writing_ahead_stops_for_a_screen_that_may_want_the_engine_and_begins_again_after_it(game, store):
    engine = FakeEngine([" word" * 2000] * 3, several=True, delay=0.01)
    app = game(engine)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: isinstance(app.screen, WritingScreen) and any(cards(app)))
        await asyncio.sleep(0.4)
        await pilot.press("escape")  # these end where they are
        await until_open(pilot)
        await until(lambda: len(engine.prompts) == 4)
        await pilot.press("question_mark")
        await until(lambda: isinstance(app.screen, KeysScreen) and not app.engine_in_use.locked())
        await pilot.press("escape")
        await until(lambda: len(engine.prompts) == 7)
        await pilot.press("q")
        await until(lambda: not app.engine_in_use.locked())


async def test_what_fails_while_nobody_asked_for_it_is_no_failure(game, store):
    class Failing(FakeEngine):
        def generate_each(self, prompts, settings, seeds):
            raise MemoryError

    app = game(Failing(NUMBERED, several=True))
    async with app.run_test(size=(120, 40)) as pilot:
        await until_open(pilot)
        await press(pilot, "1")
        await press(pilot, "1")
    assert decisions(store)[:2] == ["chosen", "chosen"]
