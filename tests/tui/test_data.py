import re

import pytest

from fate.dataset.stats import Share
from fate.tui.report import _plot
from fate.tui.screens.data import DataScreen, Report
from tests.dataset.playing import play
from tests.tui.driving import until

NUMBERS = r"\d+% \(\d.*?\)|× \d.*?\)|not enough data \(?\d+\)?"


def shown(app):
    return "\n".join(str(told.visual) for told in app.screen.query(Report))


async def to_the_data(pilot):
    await pilot.press("c")
    await until(lambda: isinstance(pilot.app.screen, DataScreen) and "Liked" in shown(pilot.app))


@pytest.mark.parametrize("size", [(120, 40), (40, 12)])
async def test_choices_are_counted_and_what_is_too_little_is_called_that(game, store, size):
    play(store, "12r3")
    app = game(opening=None, begin=False)
    async with app.run_test(size=size) as pilot:
        await to_the_data(pilot)
        assert "1 story, 4 choices, 12 candidates" in shown(app)
        assert "chosen 3, none good 1" in shown(app)
        assert "not enough data (3)" in shown(app)
        assert shown(app).endswith("not enough data")  # of what is liked
        await pilot.press("pagedown", "q")
        await until(lambda: not isinstance(app.screen, DataScreen))


@pytest.fixture
def played(store):
    """A database in which there is enough to plot."""
    for number in range(8):
        play(store, "123123123123", opening=f"Story {number}.")


@pytest.mark.usefixtures("played")
async def test_settings_that_win_are_plotted_once_there_is_enough(game):
    app = game(opening=None, begin=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await to_the_data(pilot)
        assert "█" in shown(app)
        assert "of 96" in shown(app)
        assert "not enough data" in shown(app)  # late steps
        assert re.search(r"twice as many words  × \d+\.\d\d \(", shown(app))


@pytest.mark.usefixtures("played")
async def test_no_plot_is_cut_or_wrapped_at_any_width(game):
    app = game(opening=None, begin=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await to_the_data(pilot)
        everything = re.findall(NUMBERS, shown(app))
        for width in (100, 80, 77, 60, 40, 120):
            await pilot.resize_terminal(width, 12)
            await pilot.pause(0.1)
            room = app.screen.query_one("#numbers").size.width
            plots = [line for line in shown(app).splitlines() if re.search(r"[█▓▒░·%×]|not enough data \d", line)]
            assert max(map(len, plots)) <= room
            found = re.findall(NUMBERS, shown(app))
            assert found == everything  # the same numbers in the same order


@pytest.mark.usefixtures("played")
async def test_every_line_can_be_reached_by_keys_in_a_small_terminal(game):
    app = game(opening=None, begin=False)
    async with app.run_test(size=(40, 12)) as pilot:
        await to_the_data(pilot)
        numbers = app.screen.query_one("#numbers").parent
        await pilot.press(*["pagedown"] * (numbers.max_scroll_y // 10), *["j"] * 10)
        await pilot.pause(0.3)
        assert numbers.scroll_offset.y == numbers.max_scroll_y > 0


async def test_the_dataset_is_exported_by_one_key_each_time_into_a_new_folder(game, store, tmp_path, monkeypatch):
    play(store, "12")
    monkeypatch.chdir(tmp_path)
    app = game(opening=None, begin=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await to_the_data(pilot)
        for count in (1, 2):
            await pilot.press("x")
            await until(lambda count=count: len(list(tmp_path.glob("fate-dataset-*/README.md"))) == count)
            await pilot.pause(0.1)


async def test_an_empty_database_shows_that(game):
    app = game(opening=None, begin=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("escape")
        await to_the_data(pilot)
        assert "nothing decided yet" in shown(app)
        await pilot.press("x")
        await pilot.pause(0.3)
        assert isinstance(app.screen, DataScreen)


@pytest.mark.parametrize(("width", "letters"), [(120, 24), (38, 22)])
def test_a_bar_is_half_full_at_chance_and_never_too_long(width, letters):
    for part, filled in ((33, letters // 2), (99, letters), (0, 0)):
        assert "".join(_plot("x", Share(part, 99), width)).count("█") == filled
