import pytest
from textual.command import CommandPalette

from fate.config import Config
from fate.tui import FateApp
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
        await until(lambda: writing(app)._round == 2)
        assert len(store.path(store.stories()[0].id).passages) == 1


@pytest.mark.parametrize("blind", [True, False])
async def test_parameters_are_hidden_unless_the_settings_say_otherwise(store, blind):
    app = app_with(store, blind=blind)
    async with app.run_test() as pilot:
        await until_open(pilot)
        await pilot.press("1")
        await until(lambda: writing(app)._round == 2)
    assert next(store.choices()).decision.blind is blind


async def test_what_keys_do_stands_in_the_command_palette(store):
    app = app_with(store)
    async with app.run_test(size=(100, 40)) as pilot:
        await until_open(pilot)
        await pilot.press("ctrl+p")
        await until(lambda: isinstance(app.screen, CommandPalette))
        await pilot.press(*"candidate into the story (3")
        await pilot.pause(0.6)
        await pilot.press("enter")
        await until(lambda: not isinstance(app.screen, CommandPalette) and writing(app)._round == 2)
        assert page(app).endswith("and then it was still.")
