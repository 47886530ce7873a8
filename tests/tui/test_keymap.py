import pytest

from fate.core.errors import FateError
from fate.tui.keymap import bindings, check_keymap


def test_every_screen_has_its_bindings_and_they_can_be_as_they_are():
    screens = {name.partition(".")[0] for name in bindings()}
    assert {"writing", "library", "openings", "tree", "data", "what-if", "settings", "app"} <= screens
    check_keymap({name: binding.key for name, binding in bindings().items()})


@pytest.mark.parametrize(
    "keymap",
    [
        {},
        {"writing.reroll": "n"},
        {"writing.reroll": "f2,ctrl+n"},
        {"writing.reroll": "?", "writing.keys": "f1"},
        {"writing.reroll": "t", "writing.tie": "r"},  # two that change places
        {"writing.reroll": "n", "library.search": "x"},  # n begins a story in the library, which is elsewhere
    ],
)
def test_other_keys_can_be_given(keymap):
    check_keymap(keymap)


@pytest.mark.parametrize(
    ("keymap", "why"),
    [
        ({"writing.dance": "n"}, "There is no key 'writing.dance' to change"),
        ({"writing.reroll": "crtl+n"}, "'crtl\\+n' is no key that writing.reroll could have"),
        ({"writing.reroll": ""}, "'' is no key"),
        ({"writing.reroll": "u"}, r"u is writing.undo already \(Undo\)"),
        ({"writing.reroll": "ctrl+q"}, "ctrl\\+q is app.quit already"),
        ({"writing.reroll": "ctrl+p"}, "ctrl\\+p has its meaning everywhere"),
        ({"library.new": "down"}, "down has its meaning everywhere"),
        ({"library.search": "?"}, "question_mark is library.keys already"),
        ({"writing.reroll": "n", "writing.tie": "n"}, "n is writing.tie already"),
    ],
)
def test_a_key_that_cannot_be_is_one_sentence(keymap, why):
    with pytest.raises(FateError, match=why):
        check_keymap(keymap)
