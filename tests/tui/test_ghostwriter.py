"""What writes while the reader reads: streaming, ahead, paused, cut short, and failing."""

import asyncio
from itertools import groupby

import pytest
from textual import events

from fate.playthrough import Playthrough
from fate.tui.messages import Offered
from fate.tui.screens.keys import KeysScreen
from fate.tui.screens.writing import WritingScreen
from fate.tui.turn import GRACE  # before it is shortened
from tests.fakes import NUMBERED, TEXTS, FakeEngine
from tests.tui.conftest import OPENING
from tests.tui.driving import cards, decisions, failing, page, press, state, until, until_open, writing


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


async def test_leaving_while_candidates_are_written_stops_the_writing(game, store):
    engine = FakeEngine([" word" * 500] * 3, delay=0.02)
    app = game(engine)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: isinstance(app.screen, WritingScreen) and any(cards(app)))
        await pilot.press("q")
        await until(lambda: not app.engine_in_use.locked(), seconds=3)
    assert list(store.choices()) == []


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


async def test_escape_ends_candidates_where_they_are(game, store, monkeypatch):
    monkeypatch.setattr("fate.tui.turn.GRACE", 1)
    app = game(FakeEngine([" word" * 400] * 3, delay=0.02))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: isinstance(app.screen, WritingScreen) and any(cards(app)))
        await pilot.press("escape")  # meant for the screen before
        await asyncio.sleep(1.1)
        assert writing(app)._state == "writing"
        await pilot.press("escape")
        await until_open(pilot)
        (choice,) = store.choices()
        assert {c.written.finish_reason for c in choice.candidates} == {"cancelled"}
        assert choice.decision is None


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


async def test_what_writes_ahead_is_told_where_the_reader_points(game, store, monkeypatch):
    asked = []
    monkeypatch.setattr(Playthrough, "look_ahead", lambda self, choice, stop, pointed_at: asked.append(pointed_at))
    app = game(FakeEngine(NUMBERED, several=True))
    async with app.run_test(size=(120, 40)) as pilot:
        await until_open(pilot)
        await until(lambda: asked)
        assert asked[0]() is None  # the mark stands somewhere, but nobody has moved it
        await pilot.press("right")
        assert asked[0]() == 1
        await press(pilot, "3")
        assert asked[0]() is None


@pytest.mark.parametrize("key", ["u", "2"])
async def test_writing_ahead_goes_on_after_a_step_that_was_impossible_or_an_answer_that_was_not_kept(
    game, store, monkeypatch, key
):
    looked = []
    monkeypatch.setattr(Playthrough, "look_ahead", lambda self, choice, *_: looked.append(choice.id))
    monkeypatch.setattr(store, "decide", failing)
    app = game(FakeEngine(NUMBERED, several=True))
    async with app.run_test(size=(120, 40)) as pilot:
        await until_open(pilot)
        await until(lambda: len(looked) == 1)
        await pilot.press(key)  # there is nothing to undo
        await until(lambda: len(looked) == 2)
        assert len(set(looked)) == 1


async def test_nothing_is_written_ahead_on_battery(game, store, monkeypatch):
    engine = FakeEngine(NUMBERED, several=True)
    app = game(engine)
    monkeypatch.setattr("fate.tui.game.on_battery", lambda: True)
    async with app.run_test(size=(120, 40)) as pilot:
        await until_open(pilot)
        await press(pilot, "2")
        assert len(engine.prompts) == 2


async def test_writing_ahead_stops_for_a_screen_that_may_want_the_engine_and_goes_on_after_it(game, store):
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
        await until(app.engine_in_use.locked)
        assert len(engine.prompts) == 4
        await pilot.press("q")
        await until(lambda: not app.engine_in_use.locked())


async def test_what_fails_while_nobody_asked_for_it_is_no_failure(game, store):
    class Failing(FakeEngine):
        def generate_each(self, *_, **__):
            raise MemoryError

    app = game(Failing(NUMBERED, several=True))
    async with app.run_test(size=(120, 40)) as pilot:
        await until_open(pilot)
        await press(pilot, "1")
        await press(pilot, "1")
    assert decisions(store)[:2] == ["chosen", "chosen"]
