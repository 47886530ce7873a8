from textual.widgets import Tree

from fate.tui.screens.tree import TreeScreen
from tests.fakes import NUMBERED, FakeEngine
from tests.tui.conftest import OPENING
from tests.tui.driving import cards, page, press, until, until_open, words_on


def lines(app):
    """What the tree shows, set in by depth."""
    tree = app.screen.query_one(Tree)
    found = []

    def walk(node, depth):
        found.append("  " * depth + str(node.label))
        for child in node.children:
            walk(child, depth + 1)

    walk(tree.root, 0)
    return found


async def to_the_tree(pilot):
    await pilot.press("b")
    await until(lambda: isinstance(pilot.app.screen, TreeScreen))
    await pilot.pause()


async def test_everything_that_was_offered_is_there_and_the_path_is_marked(game):
    app = game(FakeEngine(NUMBERED))
    async with app.run_test(size=(80, 24)) as pilot:
        await until_open(pilot)
        await press(pilot, "2")
        await press(pilot, "r")
        await press(pilot, "1")
        await to_the_tree(pilot)
        assert lines(app) == [
            OPENING,
            "  1 · One 1.",
            "    ● Two 1.",
            "    · Three 1.",
            "  2 · One 2.",
            "    · Two 2.",
            "    · Three 2.",
            "  2 ● One 3.",
            "    · Two 3.",
            "    · Three 3.",
            "  3 · One 4.",
            "    · Two 4.",
            "    · Three 4.",
        ]
        assert str(app.screen.query_one(Tree).cursor_node.label) == "2 ● One 3."
        await pilot.press("escape")
        await until(lambda: not isinstance(app.screen, TreeScreen))
        assert page(app) == OPENING + " Two 1. One 3."


async def test_a_step_to_another_text_goes_on_from_there_and_says_nothing_of_its_choice(game, store):
    app = game(FakeEngine(NUMBERED))
    async with app.run_test(size=(80, 24)) as pilot:
        await until_open(pilot)
        await press(pilot, "2")
        await press(pilot, "1")
        await to_the_tree(pilot)
        await pilot.press("home", "down")  # the first candidate of the first choice
        await press(pilot, "enter")
        assert page(app) == OPENING + " One 1."
        assert cards(app) == ["One 4.", "Two 4.", "Three 4."]
        await press(pilot, "3")
        assert [c.decision.kind for c in store.choices() if c.decision] == ["chosen"] * 3
        await to_the_tree(pilot)
        assert lines(app)[:9] == [
            OPENING,
            "  1 ● One 1.",
            "    ○ Two 1.",
            "    2 ○ One 2.",
            "      · Two 2.",
            "      · Three 2.",
            "    3 · One 3.",
            "      · Two 3.",
            "      · Three 3.",
        ]


async def test_undo_after_a_step_is_a_step_back_and_withdraws_nothing(game, store):
    app = game(FakeEngine(NUMBERED))
    async with app.run_test(size=(80, 24)) as pilot:
        await until_open(pilot)
        await press(pilot, "2")
        await to_the_tree(pilot)
        await pilot.press("home", "down")
        await press(pilot, "enter")
        await press(pilot, "u")
        assert page(app) == OPENING
        assert cards(app) == ["One 1.", "Two 1.", "Three 1."]
        first = next(store.choices())
        assert first.decision.candidate_id == first.candidates[1].id
        await press(pilot, "U")
        assert page(app) == OPENING + " One 1."
        await press(pilot, "u")
        await press(pilot, "3")
        assert page(app) == OPENING + " Three 1."
    first = next(store.choices())
    assert first.decision.candidate_id == first.candidates[2].id


async def test_the_opening_can_be_stepped_to(game, store):
    app = game(FakeEngine(NUMBERED))
    async with app.run_test(size=(40, 12)) as pilot:
        await until_open(pilot)
        await press(pilot, "2")
        await press(pilot, "2")
        await to_the_tree(pilot)
        await pilot.press("home")
        await press(pilot, "enter")
        assert page(app) == OPENING
    assert store.path(store.stories()[0].id).passages == ()


async def test_a_text_that_its_line_cuts_is_shown_whole(game):
    last = "and so they came home."
    app = game(FakeEngine((" Once more" + " and more" * 12 + f",\n\n{last}", " Two.", " Three.")))
    async with app.run_test(size=(40, 24)) as pilot:
        await until_open(pilot)
        await press(pilot, "2")
        await to_the_tree(pilot)
        assert last not in words_on(app)
        await pilot.press("home", "down")
        await until(lambda: last in words_on(app))


async def test_a_text_of_the_tree_is_copied(game):
    app = game(FakeEngine(NUMBERED))
    async with app.run_test(size=(80, 24)) as pilot:
        await until_open(pilot)
        await press(pilot, "2")
        await to_the_tree(pilot)
        await pilot.press("y", "down", "down")
        assert app.clipboard == "Two 1."
        await pilot.press("y")
        assert app.clipboard == "One 2."
