"""Parameters stay hidden until they are asked for or a choice is made, and the dataset says so."""

from textual.widgets import Static

from fate.store import StoreError
from fate.tui import FateApp
from fate.tui.widgets.candidate_card import CandidateCard
from fate.tui.widgets.story_view import StoryView
from fate.tui.widgets.why import Why
from tests.tui.driving import press, until, until_open, writing


def shown_why(app) -> str:
    return str(writing(app).query_one(Why).visual).replace("\N{NO-BREAK SPACE}", " ")


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


async def test_leaving_while_the_page_is_to_tell_it_is_quiet(game):
    app = game()
    async with app.run_test(size=(80, 24)) as pilot:
        await until_open(pilot)
        await press(pilot, "2")
        page, screen = app.screen.query_one(StoryView), app.screen
        await page.remove_children()  # as closing does, before it ends what the screen is doing
        await screen._tell_how_it_was_drawn(page, screen._playthrough, screen._path).wait()


async def test_where_it_is_not_told_it_is_not_revealed_either(game, store):
    app = game()
    async with app.run_test(size=(40, 12)) as pilot:
        await until_open(pilot)
        await press(pilot, "2")
        await press(pilot, "u")
        await press(pilot, "1")
    assert [choice.decision.blind for choice in store.choices() if choice.decision] == [True]


async def test_parameters_that_were_seen_once_are_not_forgotten(game, store):
    app = game()
    async with app.run_test(size=(120, 40)) as pilot:
        await until_open(pilot)
        await pilot.press("p", "p")
        await press(pilot, "r")
        await press(pilot, "u")
        await press(pilot, "1")
    assert [choice.decision.blind for choice in store.choices() if choice.decision] == [False]


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
