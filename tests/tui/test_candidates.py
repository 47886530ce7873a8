import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fate.core.choice import Continuation
from fate.core.sampling import SamplerSettings
from fate.tui.stack import heights
from fate.tui.widgets.candidate_card import CandidateCard
from tests.fakes import FakeEngine
from tests.tui.driving import until, until_open, writing

SHORT, LONG = " It opened.", " A long passage that goes on for a while, and then goes on." * 5
NEEDS = st.lists(st.integers(2, 30), min_size=3, max_size=3)


@given(st.integers(6, 40), NEEDS, st.integers(0, 2))
def test_every_row_is_used_where_it_is_needed_and_none_is_used_twice(room, needs, marked):
    rows = heights(room, needs, [False] * 3, marked)
    assert sum(rows) <= room
    assert all(1 <= got <= need for got, need in zip(rows, needs, strict=True))
    if rows != needs:
        assert sum(rows) == room


@given(st.integers(12, 40), NEEDS, st.integers(0, 2))
def test_where_there_is_room_no_card_goes_short_for_a_taller_one(room, needs, marked):
    rows = heights(room, needs, [False] * 3, marked)
    for got, need in zip(rows, needs, strict=True):
        assert got == need or got >= max(rows) - 1


@given(st.integers(6, 11), NEEDS, st.integers(0, 2))
def test_where_there_is_little_room_the_marked_card_comes_first(room, needs, marked):
    least = 2 if room > 6 else 1
    assert heights(room, needs, [False] * 3, marked)[marked] == min(needs[marked], room - 2 * least)


@given(st.data(), st.integers(3, 40), st.integers(0, 2))
def test_no_height_shrinks_while_texts_are_written(data, room, marked):
    needs, growing = [2, 2, 2], [True] * 3
    rows = heights(room, needs, growing, marked)
    while any(growing):
        for n in range(3):
            if growing[n]:
                needs[n] += data.draw(st.integers(0, 5))
                growing[n] = data.draw(st.booleans())
        before, rows = rows, heights(room, needs, growing, marked)
        assert all(now >= then for now, then in zip(rows, before, strict=True))


@pytest.mark.parametrize("size", [(80, 24), (60, 20), (40, 12)])
async def test_cards_grow_while_they_stream_and_never_shrink(game, size):
    app = game(FakeEngine([LONG, SHORT, LONG], delay=0.01))
    seen = []
    async with app.run_test(size=size) as pilot:
        await until(lambda: any(row.text for row in writing(app)._turn.rows))
        while writing(app)._state == "writing":
            seen.append([card.region.height for card in app.screen.query(CandidateCard)])
            await asyncio.sleep(0.01)
        await until_open(pilot)
        seen.append([card.region.height for card in app.screen.query(CandidateCard)])
    for before, after in pairwise(seen):
        assert all(now >= then for now, then in zip(after, before, strict=True))
    assert seen[0] < seen[-1]
    assert seen[-1][1] == 2  # what its one line needs


async def test_every_line_that_comes_is_given_its_row_at_once(game):
    app = game(FakeEngine([SHORT] * 3))
    async with app.run_test(size=(80, 24)) as pilot:
        await until_open(pilot)
        card, bars = app.screen.query(CandidateCard).last(), []
        card.watch(card, "show_vertical_scrollbar", lambda shown: bars.append(shown), init=False)
        for lines in range(1, 6):
            card.show(Continuation(SamplerSettings(), 0, "\n".join(["Line."] * lines)), parameters=False)
            await pilot.pause()
            assert card.region.height == 1 + lines
    assert bars == []  # not even for a moment


async def test_a_short_card_leaves_its_rows_to_the_long_ones(game):
    app = game(FakeEngine([SHORT, LONG, SHORT]))
    async with app.run_test(size=(80, 24)) as pilot:
        await until_open(pilot)
        shown = list(app.screen.query(CandidateCard))
        assert [card.max_scroll_y for card in shown] == [0, 0, 0]
        assert [card.region.height for card in shown] == [2, 5, 2]


@pytest.mark.parametrize("size", [(80, 24), (40, 12), (30, 9)])
async def test_the_last_line_of_every_card_can_be_reached_by_keys(game, size):
    app = game(FakeEngine([LONG * 2, LONG * 3, SHORT + LONG * 2]))
    async with app.run_test(size=size) as pilot:
        await until_open(pilot)
        for card in app.screen.query(CandidateCard):
            assert card.has_class("-marked")
            assert card.scrollable_content_region.height >= 2
            for _ in range(card.max_scroll_y):
                await pilot.press("j")
            await pilot.pause()
            assert card.max_scroll_y > 0
            assert card.scroll_offset.y == card.max_scroll_y
            await pilot.press("right")
            await pilot.pause()


async def test_marking_gives_a_card_its_room_in_a_small_terminal(game):
    app = game(FakeEngine([LONG] * 3))
    async with app.run_test(size=(40, 12)) as pilot:
        await until_open(pilot)
        for marked in range(3):
            heights_now = [card.region.height for card in app.screen.query(CandidateCard)]
            assert heights_now == [4 if n == marked else 2 for n in range(3)]
            await pilot.press("right")
            await pilot.pause()
