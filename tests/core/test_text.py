from hypothesis import given
from hypothesis import strategies as st

from fate.core.text import as_shown, harmless


def test_control_characters_are_shown_instead_of_obeyed():
    assert harmless("\x1b[31m\x07\x7f\x9b\tx\n") == "␛[31m␇␡\ufffd    x\n"
    assert harmless("\u202eא\u2067") == "\ufffdא\ufffd"


def test_what_an_emoji_is_joined_from_stands_apart():
    assert as_shown("👨‍👩‍👧 👩🏽‍🚀 🏳️‍🌈 ❤️") == "👨👩👧 👩🚀 🏳🌈 ❤"


def test_joiners_that_letters_need_stay():
    for text in ("क्‍ष", "می‌خواهم", "e\u0301"):
        assert as_shown(text) == text


@given(st.text())
def test_showing_twice_is_showing_once(text):
    assert as_shown(as_shown(text)) == as_shown(text)
    assert harmless(harmless(text)) == harmless(text)
