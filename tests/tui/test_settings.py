import tomllib
from contextlib import asynccontextmanager

import pytest
from textual import events
from textual.command import CommandList, CommandPalette
from textual.widgets import Input, Static

from fate.config import Config, config_file, read_config
from fate.tui import FateApp
from fate.tui.commands import KeyCommands
from fate.tui.memory import remembered
from fate.tui.messages import EngineReady
from fate.tui.screens.data import DataScreen
from fate.tui.screens.settings import SettingsScreen
from fate.tui.screens.writing import WritingScreen
from fate.tui.widgets.setting import Setting
from tests.fakes import FakeEngine
from tests.tui.conftest import OPENING
from tests.tui.driving import page, until, until_open, writing


def app_with(store, **settings):
    return FateApp(Config(**settings), store, begin=True, opening=OPENING, engine=FakeEngine())


async def test_the_theme_that_was_picked_is_there_again(store):
    app = app_with(store)
    async with app.run_test():
        app.theme = "gruvbox"
    again = app_with(store)
    async with again.run_test():
        assert again.theme == "gruvbox"
    told = app_with(store, theme="nord")
    async with told.run_test():
        assert told.theme == "nord"
    once_more = app_with(store)
    async with once_more.run_test():
        assert once_more.theme == "gruvbox"  # which was picked; the other was only told


async def test_a_theme_that_is_picked_takes_the_place_of_one_in_the_file(store):
    app = app_with(store)
    async with at_the_settings(app) as pilot:
        app.change("theme", app.config.changed("theme", "nord"))
        await pilot.pause()
        app.theme = "dracula"
        await until(lambda: in_the_file() == {"theme": "dracula"})
    again = FateApp(read_config(), store, engine=FakeEngine())
    async with again.run_test():
        assert again.theme == "dracula"


async def test_a_theme_that_is_not_there_is_one_sentence(store):
    app = app_with(store, theme="plaid")
    async with app.run_test():
        pass
    assert app.failure.startswith("There is no theme 'plaid'; choose among ")


async def test_a_key_can_be_another(store):
    app = app_with(store, keymap={"writing.choose-2": "x"})
    async with app.run_test() as pilot:
        await until_open(pilot)
        await pilot.press("2")
        await pilot.press("x")
        await until(lambda: writing(app)._turn.number == 2)
        assert len(store.path(store.stories()[0].id).passages) == 1


@pytest.mark.parametrize("blind", [True, False])
async def test_parameters_are_hidden_unless_the_settings_say_otherwise(store, blind):
    app = app_with(store, blind=blind)
    async with app.run_test() as pilot:
        await until_open(pilot)
        await pilot.press("1")
        await until(lambda: writing(app)._turn.number == 2)
    assert next(store.choices()).decision.blind is blind


async def command(pilot, words):
    """Give a command of the palette, by words of it."""
    await pilot.press("ctrl+p")
    await until(lambda: isinstance(pilot.app.screen, CommandPalette))
    await pilot.press(*words)
    await pilot.pause(0.6)
    await pilot.press("enter")


async def test_what_keys_do_stands_in_the_command_palette(store):
    app = app_with(store)
    async with app.run_test(size=(100, 40)) as pilot:
        await until_open(pilot)
        await command(pilot, "choose 3")
        await until(lambda: not isinstance(app.screen, CommandPalette) and writing(app)._turn.number == 2)
        assert page(app).endswith("and then it was still.")


async def test_what_no_key_of_this_screen_does_stands_in_the_palette_too(store):
    app = app_with(store)
    async with app.run_test(size=(100, 40)) as pilot:
        await until_open(pilot)
        await command(pilot, "numbers and plots")
        await until(lambda: isinstance(app.screen, DataScreen))
        await pilot.press("escape")
        await until(lambda: app.screen is writing(app))


# --- the screen -----------------------------------------------------------------------------------


def setting(app, name) -> Setting:
    return app.screen.query_one(f"#{name.replace('.', '-')}", Setting)


def note(app, name) -> str:
    return str(setting(app, name).query_one(".note", Static).visual)


async def go_to(pilot, name, place=0):
    list(setting(pilot.app, name).query("Line, OneOf, YesNo"))[place].focus()
    await pilot.pause()


async def type_over(pilot, name, text, place=0):
    await go_to(pilot, name, place)
    typed, pasted = text[:20], text[20:]  # a folder's name is long
    await pilot.press("end", "ctrl+u", *typed)
    if pasted:
        pilot.app.post_message(events.Paste(pasted))
    await pilot.pause()


@asynccontextmanager
async def at_the_settings(app, size=(100, 40)):
    async with app.run_test(size=size) as pilot:
        await until_open(pilot)
        await pilot.press("comma")
        await until(lambda: isinstance(app.screen, SettingsScreen))
        await pilot.pause()
        yield pilot


def in_the_file():
    return tomllib.loads(config_file().read_text()) if config_file().exists() else {}


@pytest.mark.parametrize("size", [(120, 40), (80, 24), (40, 12)])
async def test_every_setting_is_reached_with_the_arrow_keys_and_told_what_it_means(store, size):
    app = app_with(store)
    async with at_the_settings(app, size) as pilot:
        told, settings = [], app.screen.query(Setting)
        for _ in app.screen.query("Line, OneOf, YesNo"):
            shown = app.screen.query_one("VerticalScroll").region
            await until(lambda shown=shown: app.focused.region.overlaps(shown))
            told.append(str(app.screen.query_one("#about", Static).visual))
            await pilot.press("down")
            await pilot.pause()
        assert len(settings) > 10
        assert set(told) == {setting.about for setting in settings}
        assert len(set(told)) == len(settings)
        await pilot.press("escape")
        assert isinstance(app.screen, WritingScreen)


async def test_a_range_counts_for_the_next_candidates_and_stands_in_the_file(store):
    app = app_with(store)
    async with at_the_settings(app) as pilot:
        await type_over(pilot, "ranges.top_k", "5", 0)
        await type_over(pilot, "ranges.top_k", "5", 1)
        await pilot.press("enter")
        await until(lambda: note(app, "ranges.top_k") == "saved")
        assert in_the_file() == {"ranges": {"top_k": [5, 5]}}
        await pilot.press("escape", "1")
        await until(lambda: writing(app)._turn.number == 2)
        await until_open(pilot)
    before, after = store.choices()
    assert (
        {c.written.settings.top_k for c in after.candidates}
        == {5}
        != {c.written.settings.top_k for c in before.candidates}
    )


async def test_what_cannot_be_is_said_beside_it_as_it_is_typed_and_not_saved(store):
    app = app_with(store)
    async with at_the_settings(app) as pilot:
        await type_over(pilot, "ranges.temperature", "2")
        assert f"from low to high, not 2.0 to {Config().ranges.temperature[1]}" in note(app, "ranges.temperature")
        await pilot.press("enter", "down", "down", "down")
        await pilot.pause(0.2)
        assert "from low to high" in note(app, "ranges.temperature")
        await type_over(pilot, "keymap", "writing.reroll=u")
        assert "u is writing.undo already" in note(app, "keymap")
        await type_over(pilot, "ranges.temperature", str(Config().ranges.temperature[0]))
        assert note(app, "ranges.temperature") == ""
        await type_over(pilot, "keymap", "n")
        assert "write it as in writing.reroll=n" in note(app, "keymap")
        await pilot.press("escape")
    assert in_the_file() == {}
    assert app.config == Config()


async def test_a_setting_that_was_changed_is_saved_on_the_way_to_another(store):
    app = app_with(store)
    async with at_the_settings(app) as pilot:
        await type_over(pilot, "annotator", "Ann")
        await pilot.press("down")
        await pilot.pause()
        assert in_the_file() == {"annotator": "Ann"}
        await pilot.press("escape", "1")
        await until(lambda: writing(app)._turn.number == 2)
    assert next(store.choices()).decision.annotator == "Ann"


async def test_keys_theme_and_blindness_change_at_once(store):
    app = app_with(store)
    async with at_the_settings(app) as pilot:
        await type_over(pilot, "keymap", "writing.choose-2=x writing.reroll=n")
        await pilot.press("enter")
        await go_to(pilot, "blind")
        await pilot.press("enter")
        await go_to(pilot, "theme")
        await pilot.press("enter", "home", "down", "enter")
        await until(lambda: app.theme == "ansi-dark")
        assert in_the_file() == {
            "keymap": {"writing.choose-2": "x", "writing.reroll": "n"},
            "blind": False,
            "theme": "ansi-dark",
        }
        await pilot.press("escape")
        await until(lambda: "damp" in str(writing(app).query_one("#card-0").border_subtitle))
        await pilot.press("x")
        await until(lambda: writing(app)._turn.number == 2)
    assert next(store.choices()).decision.blind is False
    again = FateApp(read_config(), store, engine=FakeEngine())
    async with again.run_test():
        assert again.theme == "ansi-dark"


async def test_the_theme_that_was_picked_last_is_remembered_also_if_it_was_the_first(store):
    for picked in (["nord"], ["dracula", "nord"]):
        app = app_with(store)
        async with app.run_test():
            for app.theme in picked:
                await until(lambda picked=app.theme: remembered().get("theme") == picked)
    assert remembered() == {"theme": "nord"}


async def test_a_flag_or_a_variable_wins_and_that_is_said(store, monkeypatch):
    monkeypatch.setenv("FATE_CONTEXT", "512")
    app = FateApp(read_config(model="fake"), store, begin=True, opening=OPENING, engine=FakeEngine())
    async with at_the_settings(app):
        assert (note(app, "model"), note(app, "context")) == ("from --model", "from FATE_CONTEXT")
        assert setting(app, "model").query_one(Input).disabled
        assert setting(app, "context").query_one(Input).disabled
        assert app.focused is setting(app, "precision").query_one("OneOf")


async def test_another_model_writes_the_next_candidates_once_it_is_loaded(store, tiny_folders):
    app = app_with(store)
    async with at_the_settings(app) as pilot:
        await type_over(pilot, "model", str(tiny_folders["gpt2"]))
        assert app.config.model != str(tiny_folders["gpt2"])
        await pilot.press("enter")
        await until(lambda: note(app, "model") == "saved", 60)
        assert in_the_file() == {"model": str(tiny_folders["gpt2"])}
        await pilot.press("escape", "1")
        await until(lambda: writing(app)._turn.number == 2)
        await until_open(pilot)
    assert [choice.model.architecture for choice in store.choices()] == ["Fake", "GPT2LMHeadModel"]


async def test_a_model_that_cannot_be_loaded_is_one_sentence_and_the_old_one_goes_on(store, tmp_path):
    app = app_with(store)
    async with at_the_settings(app) as pilot:
        await type_over(pilot, "model", str(tmp_path / "nothing"))
        await pilot.press("enter")
        await until(lambda: "There is no folder" in note(app, "model"), 60)
        assert app.is_running
        await pilot.press("escape", "1")
        await until(lambda: writing(app)._turn.number == 2)
        await until_open(pilot)
    assert in_the_file() == {}
    assert [choice.model.architecture for choice in store.choices()] == ["Fake", "Fake"]


async def test_of_two_models_that_were_wanted_the_last_one_stays(store, tiny_folders, tmp_path):
    app = app_with(store)
    async with at_the_settings(app):
        first, second = (Config(model=str(tiny_folders[family])) for family in ("gpt2", "llama"))
        app.wanted, app._loading = second, 2
        late, engine = FakeEngine(), FakeEngine()
        app.post_message(EngineReady(engine, second))
        app.post_message(EngineReady(late, first))
        await until(lambda: app._loading == 0)
        assert app.engine is engine
        assert app.config.model == second.model


async def test_a_file_that_cannot_be_written_is_said_and_nothing_changes(store, fate_home):
    app = app_with(store)
    async with at_the_settings(app) as pilot:
        config_file().mkdir(parents=True)
        await type_over(pilot, "annotator", "Ann")
        await pilot.press("enter")
        await until(lambda: "config.toml could not be written" in note(app, "annotator"))
        assert app.config.annotator == "reader"


async def test_the_palette_begins_with_what_keys_do_here_and_has_nothing_of_the_frameworks(store):
    app = app_with(store)
    async with app.run_test(size=(100, 60)) as pilot:
        await until_open(pilot)
        await pilot.press("ctrl+p")
        await until(lambda: app.screen.query(CommandList).first().option_count > 20)
        commands = app.screen.query_one(CommandList)
        offered = [str(commands.get_option_at_index(n).prompt) for n in range(commands.option_count)]
    assert offered[0].startswith("Choose 1")
    assert not [words for words in offered if "Screenshot" in words or words.startswith(("Show keys", "Maximize"))]
    assert any("Theme" in words for words in offered)


async def test_only_candidates_are_chosen_by_number_in_the_palette(store):
    app = app_with(store)
    async with at_the_settings(app) as pilot:
        await go_to(pilot, "device")
        said = [str(hit.text) async for hit in KeyCommands(app.screen).discover()]
    assert "Choose: show what it can be" in said


async def test_the_palette_finds_a_command_by_the_name_that_its_key_has(store):
    app = app_with(store)
    async with app.run_test(size=(100, 40)) as pilot:
        await until_open(pilot)
        palette = KeyCommands(app.screen)
        for name in ("Tie", "Edit", "Undo", "Redo", "Reroll", "Pause", "Cut", "Tree", "Parameters", "Keys", "Theme"):
            first = max([hit async for hit in palette.search(name.lower())], key=lambda hit: hit.score)
            assert str(first.text).startswith(name)


async def test_the_settings_are_in_the_palette_and_open_once(store):
    app = app_with(store)
    async with app.run_test(size=(100, 40)) as pilot:
        await until_open(pilot)
        await command(pilot, "ranges, theme")
        await until(lambda: isinstance(app.screen, SettingsScreen))
        app.action_settings()
        assert sum(isinstance(screen, SettingsScreen) for screen in app.screen_stack) == 1


async def test_keys_that_are_not_there_are_one_sentence(store):
    app = app_with(store, keymap={"writing.dance": "x"})
    async with app.run_test():
        pass
    assert app.failure.startswith("There is no key 'writing.dance' to change")
