import asyncio
import sqlite3

import pytest
from textual import events
from textual.widgets import Input, OptionList

from fate.core.errors import FateError
from fate.openings import openings
from fate.store import StoreError
from fate.tui.messages import EngineFailed, EngineProgress, EngineReady
from fate.tui.screens.library import LibraryScreen
from fate.tui.screens.openings import OpeningsScreen
from fate.tui.screens.writing import WritingScreen
from fate.tui.widgets.candidates import Candidates
from tests.fakes import FakeEngine
from tests.tui.driving import page, press, state, until, until_open, words_on


async def test_a_first_start_goes_straight_to_the_openings(game):
    app = game(opening=None, begin=False)
    async with app.run_test() as pilot:
        await pilot.pause()
        assert isinstance(app.screen, OpeningsScreen)
        assert app.screen.query_one(OptionList).option_count == len(openings())


async def test_an_opening_is_chosen_with_the_keyboard(game, store):
    app = game(opening=None, begin=False)
    async with app.run_test() as pilot:
        await pilot.press("down", "down", "enter")
        await until_open(pilot)
        assert page(app) == openings()[2].text
    assert store.path(store.stories()[0].id).opening == openings()[2].text


async def test_an_opening_of_ones_own_is_typed(game, store):
    app = game(opening=None, begin=False)
    async with app.run_test() as pilot:
        await pilot.press("o")
        assert app.screen.query_one(Input).has_focus
        await pilot.press(*"A door", "space", *"opened.", "enter")
        await until_open(pilot)
        assert page(app) == "A door opened."


async def test_an_empty_opening_is_not_begun(game, store):
    app = game(opening=None, begin=False)
    async with app.run_test() as pilot:
        await pilot.press("o", "space", "enter")
        await pilot.pause()
        assert isinstance(app.screen, OpeningsScreen)
        await pilot.press("escape", "escape")
        assert isinstance(app.screen, LibraryScreen)
    assert store.stories() == []


async def test_stories_are_listed_and_resumed(game, store):
    store.new_story("An old story about a door.")
    store.new_story("A new story about a key.")
    app = game(opening=None, begin=False)
    async with app.run_test() as pilot:
        await pilot.pause()
        assert isinstance(app.screen, LibraryScreen)
        options = app.screen.query_one(OptionList)
        assert "A new story about a key." in str(options.get_option_at_index(1).prompt)
        assert "0 choices" in str(options.get_option_at_index(1).prompt)
        await pilot.press("down", "enter")
        await until_open(pilot)
        assert page(app) == "An old story about a door."


async def test_a_new_story_can_be_begun_from_the_library(game, store):
    store.new_story("An old story about a door.")
    app = game(opening=None, begin=False)
    async with app.run_test() as pilot:
        await pilot.press("n")
        assert isinstance(app.screen, OpeningsScreen)
        await pilot.press("escape", "home", "enter")
        assert isinstance(app.screen, OpeningsScreen)


async def test_the_story_is_shown_while_the_model_loads_and_what_it_does_is_told(game, monkeypatch):
    app = game(loaded=False)
    monkeypatch.setattr(app, "_load_engine", lambda: None)
    async with app.run_test() as pilot:
        await until(lambda: isinstance(app.screen, WritingScreen))
        await pilot.pause()
        assert page(app).startswith("Nobody in Black Creek")
        assert state(app) == "getting ready …"
        await pilot.press("1", "enter", "r", "p", "pageup", "right")  # nothing to choose yet
        app.post_message(EngineProgress("reading the weights"))
        await until(lambda: state(app) == "reading the weights …")
        app.post_message(EngineReady(FakeEngine()))
        await until_open(pilot)


async def test_a_model_that_cannot_be_used_ends_the_app_with_its_sentence(game, monkeypatch):
    app = game(loaded=False)
    monkeypatch.setattr(app, "_load_engine", lambda: None)
    async with app.run_test():
        app.post_message(EngineFailed(FateError("There is no such model.")))
        await asyncio.sleep(0.1)
    assert app.failure == "There is no such model."
    assert app.return_code == 1


async def test_keys_that_come_too_fast_begin_one_story(game, store):
    app = game(opening=None, begin=False)
    async with app.run_test() as pilot:
        for _ in range(3):
            app.post_message(events.Key("enter", "\r"))
        await until_open(pilot)
        assert len(store.stories()) == 1
        assert [type(screen) for screen in app.screen_stack[1:]] == [LibraryScreen, WritingScreen]


async def test_a_database_that_fails_ends_the_app_with_its_sentence(game, store, monkeypatch):
    def failing():
        raise StoreError("The file is damaged.")

    monkeypatch.setattr(store, "stories", failing)
    app = game(opening=None, begin=False)
    async with app.run_test():
        await asyncio.sleep(0.1)
    assert app.failure == "The file is damaged."
    assert app.return_code == 1


async def test_an_opening_of_several_lines_can_be_pasted(game, store):
    app = game(opening=None, begin=False)
    async with app.run_test() as pilot:
        await pilot.press("o")
        app.screen.query_one(Input).post_message(events.Paste("A door.\n\nIt was\r\nred."))
        await pilot.press("enter")
        await until_open(pilot)
        assert page(app) == "A door. It was red."


async def test_keys_that_come_too_fast_keep_their_order(game, store):
    app = game(opening=None, begin=False)
    async with app.run_test() as pilot:
        await pilot.pause()
        for key in ("down", "down", "down", "enter"):
            app.post_message(events.Key(key, None))
        await until_open(pilot)
    assert store.path(store.stories()[0].id).opening == openings()[3].text


async def test_an_ended_story_can_be_gone_on_with_before_the_model_is_there(game, store, monkeypatch):
    ended = game(FakeEngine(reasons=("eos", "eos", "eos")))
    async with ended.run_test(size=(100, 30)) as pilot:
        await until_open(pilot)
        await press(pilot, "1", then="ended")
    app = game(opening=None, begin=False, loaded=False)
    monkeypatch.setattr(app, "_load_engine", lambda: None)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("enter")
        await until(lambda: isinstance(app.screen, WritingScreen))
        await pilot.pause()
        assert "r writes on" in page(app)
        await pilot.press("r")
        app.post_message(EngineReady(FakeEngine()))
        await until_open(pilot)


@pytest.fixture
def three(store):
    return [store.new_story(f"{animal} went to the sea.") for animal in ("A fox", "An owl", "A bear")]


def titles(app):
    options = app.screen.query_one("#stories", OptionList)
    return [str(options.get_option_at_index(i).prompt).split("\n")[0] for i in range(1, options.option_count)]


async def test_a_search_shows_titles_with_all_the_words_as_they_are_typed(game, three):
    app = game(opening=None, begin=False)
    async with app.run_test() as pilot:
        await pilot.press("slash", *"SEA", "space", *"ow")
        await until(lambda: titles(app) == ["An owl went to the sea."])
        await pilot.press("enter", "enter")  # out of the line, and into the story
        await until_open(pilot)
        assert page(app).startswith("An owl")
        await pilot.press("q", "escape")
        await until(lambda: len(titles(app)) == 3)


async def test_a_story_with_its_end_has_no_cards_before_the_model_is_there(game, store, monkeypatch):
    first = game(FakeEngine(reasons=("eos",) * 3))
    async with first.run_test() as pilot:
        await until_open(pilot)
        await press(pilot, "1", then="ended")
    app = game(opening=None, begin=False, loaded=False)
    monkeypatch.setattr(app, "_load_engine", lambda: None)
    async with app.run_test() as pilot:
        await pilot.press("enter")
        await until(lambda: isinstance(app.screen, WritingScreen))
        await pilot.pause()
        assert not app.screen.query_one(Candidates).display
        assert "Choose" not in words_on(app)


async def test_enter_after_a_search_in_vain_begins_nothing(game, three):
    app = game(opening=None, begin=False)
    async with app.run_test() as pilot:
        await pilot.press("slash", *"zzz", "enter", "enter")
        await until(lambda: "no title has these words" in words_on(app))
        assert isinstance(app.screen, LibraryScreen)
        await pilot.press("escape")
        await until(lambda: "no title" not in words_on(app))


async def test_a_key_pressed_before_a_screen_is_there_is_harmless(game, store):
    story_id = store.new_story("A bear went to the sea.")
    app = game(begin=False, opening=None)
    async with app.run_test() as pilot:
        key = events.Key("enter", "\r")
        key._set_forwarded()  # as one that the screen below had no use for
        app.show_story(story_id)
        await app.on_event(key)
        await until_open(pilot)
    assert [choice.decision for choice in store.choices()] == [None]


async def test_a_story_gets_another_title(game, store, three):
    app = game(opening=None, begin=False)
    async with app.run_test() as pilot:
        await pilot.press("m")
        await pilot.pause()
        await pilot.press("ctrl+u", *"Bruno", "enter")
        await until(lambda: titles(app)[0] == "Bruno")
        await pilot.press("m", "ctrl+u", "enter")  # no title is no change
        await pilot.pause()
    assert store.stories()[0].title == "Bruno"


async def test_an_archived_story_comes_last_and_can_be_brought_back(game, store, three):
    app = game(opening=None, begin=False)
    async with app.run_test() as pilot:
        await pilot.press("a")
        await until(lambda: titles(app)[-1].startswith("A bear"))
        assert [story.state for story in store.stories()].count("archived") == 1
        await pilot.press("a")  # the mark stays on it
        await until(lambda: titles(app)[0].startswith("A bear"))


async def test_a_story_is_deleted_only_after_a_yes_and_stays_in_the_file(game, store, three):
    app = game(opening=None, begin=False)
    async with app.run_test() as pilot:
        await pilot.press("d", "enter")
        await pilot.pause()
        assert len(titles(app)) == 3
        await pilot.press("d", "y")
        await until(lambda: len(titles(app)) == 2)
    assert len(store.stories()) == 2
    assert list(store.query("SELECT count(*) FROM story")) == [(3,)]


async def test_a_story_is_saved_as_markdown_or_plain_text_and_no_file_is_written_over(
    game, store, three, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    app = game(opening=None, begin=False)
    async with app.run_test() as pilot:
        await pilot.press("s", "s", "S")
        await until(lambda: [len(list(tmp_path.glob(f"*.{kind}"))) for kind in ("md", "txt")] == [2, 1])
    assert (
        tmp_path / "A-bear-went-to-the-sea.txt"
    ).read_text() == "A bear went to the sea.\n\nA bear went to the sea.\n"
    assert (tmp_path / "A-bear-went-to-the-sea.md").read_text() == (
        "# A bear went to the sea.\n\nA bear went to the sea.\n"
    )


async def test_keys_for_a_story_do_nothing_where_there_is_none_marked(game, three):
    app = game(opening=None, begin=False)
    async with app.run_test() as pilot:
        await pilot.press("home", "m", "a", "d", "s")
        await pilot.pause()
        assert isinstance(app.screen, LibraryScreen)
        assert len(titles(app)) == 3


async def test_a_title_that_would_steer_the_terminal_is_shown_harmlessly(game, store):
    store.new_story("\x1b[31mRed.")
    app = game(opening=None, begin=False)
    async with app.run_test() as pilot:
        await pilot.press("m")
        await pilot.pause()
        assert "\x1b" not in app.screen.query_one(Input).value


async def test_an_opening_that_could_not_be_kept_is_still_there(game, monkeypatch):
    app = game(opening=None, begin=False)
    async with app.run_test() as pilot:

        def full(self, opening):
            raise StoreError("The disk is full.")

        monkeypatch.setattr("fate.store.Store.new_story", full)
        await pilot.press("o", *"Once", "enter")
        await pilot.pause(0.2)
        assert app.screen.query_one(Input).value == "Once"


async def test_the_screen_lives_on_while_a_change_waits_for_the_database(game, store, three):
    other = sqlite3.connect(store.file, isolation_level=None)
    app = game(opening=None, begin=False)
    async with app.run_test() as pilot:
        await pilot.pause()
        other.execute("BEGIN IMMEDIATE")
        await pilot.press("a", "down")  # the mark moves, though the change cannot be written yet
        await pilot.pause()
        assert app.screen.query_one("#stories", OptionList).highlighted == 2
        assert titles(app)[0].startswith("A bear")
        other.execute("ROLLBACK")
        await until(lambda: titles(app)[-1].startswith("A bear"))
    other.close()


async def test_a_story_is_copied(game, three):
    app = game(opening=None, begin=False)
    async with app.run_test() as pilot:
        await pilot.press("y")
        await until(lambda: app.clipboard == "A bear went to the sea.")


async def test_the_story_that_was_just_left_is_marked(game, three, store):
    app = game(opening=None, begin=False)
    async with app.run_test() as pilot:
        await pilot.press("end", "enter")
        await until(lambda: isinstance(app.screen, WritingScreen))
        left = app.screen._path.story_id
        await until_open(pilot)
        await press(pilot, "1")
        await pilot.press("q")
        await until(lambda: isinstance(app.screen, LibraryScreen))
        assert store.stories()[0].id == left
        assert app.screen._stories.marked.id == left
