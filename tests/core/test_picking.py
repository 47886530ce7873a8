import itertools

import pytest

from fate.core.choice import Continuation
from fate.core.picking import Picker
from fate.core.sampling import SamplerSettings

STORY = "Once upon a time there was a girl who kept a lantern."
WIND = " A cold wind came in."
NOTHING, CUT, ALIKE, AGAIN, GOOD = "", " Nobody knew it was he", WIND, f" {STORY}", " Nobody answered her."
UNLIKELY = -1.0  # nats a token


def text(words, likely=UNLIKELY, tokens=10):
    """A complete text; one without a full stop was cut off."""
    return Continuation(
        SamplerSettings(),
        seed=0,
        output_ids=(5,) * (tokens + 1),
        logprobs=(likely,) * tokens + (-50.0,),  # the last is not kept
        kept=tokens if words else 0,
        text=words,
        finish_reason="sentence" if words.endswith((".", "!", "?")) or not words else "length",
    )


def picked(first, second, said=()):
    """Which of two texts is picked, 0 or 1."""
    texts = [first, second]
    return texts.index(Picker(STORY).pick(texts, said))


@pytest.mark.parametrize(("likely", "better"), itertools.pairwise((NOTHING, CUT, ALIKE, AGAIN, GOOD)))
def test_a_likelier_text_gives_way_to_one_with_a_smaller_fault(likely, better):
    assert picked(text(likely, -0.7), text(better, -100), [WIND]) == 1
    assert picked(text(better, -100), text(likely, -0.7), [WIND]) == 0


def test_a_likelier_text_is_better():
    assert picked(text(GOOD), text(" Snow fell all night.", UNLIKELY + 0.01)) == 1
    assert picked(text(GOOD, tokens=20), text(" Snow fell all night.", UNLIKELY + 0.01)) == 1


def test_of_texts_that_are_likely_enough_the_longer_is_better():
    assert picked(text(GOOD, -0.1, tokens=10), text(" Snow fell all night.", -0.6, tokens=11)) == 1
    assert picked(text(GOOD, -0.1, tokens=10), text(" Snow fell all night.", -0.61, tokens=11)) == 0


@pytest.mark.parametrize(
    ("said", "words", "alike"),
    [
        (WIND, f"\n\nThen{WIND.lower()[:-1]}!.", True),
        ("a b c d e f.", "a b c 1 2 3 4.", False),  # three words of ten
        ("a b c d e f g h.", "a b c d 1 2 3 4 5.", True),  # four of thirteen
    ],
)
def test_texts_are_alike_that_have_more_than_three_tenths_of_their_words_in_common(said, words, alike):
    other = "x y z."
    for before in ([said], [other, said], [said, other]):
        assert picked(text(words, -0.7), text("q."), before) == alike


def test_of_texts_that_are_all_alike_the_least_alike_counts():
    assert picked(text("a b c d.", -0.7), text("a b c x y z."), ["a b c d."]) == 1


def test_a_text_that_repeats_itself_says_it_again():
    assert picked(text(" A letter. A letter. A letter.", -0.7), text(" A letter. A lamp. A letter.")) == 1
    assert picked(text(" A bell, a bell.", -0.7), text(" Nobody answered her.")) == 0  # no three words twice


def test_a_text_that_says_less_again_is_better_than_a_likelier_one():
    assert picked(text(" There was a girl who kept it.", -0.7), text(" Was there a girl who kept it?")) == 1


@pytest.mark.parametrize(
    ("words", "stuck"), [("Irrrrr.", True), ("Ha ha, hahahahaha!", True), ("Brrrr, a bookkeeper!", False)]
)
def test_a_text_in_which_a_few_letters_go_on_and_on_comes_after_others(words, stuck):
    assert picked(text(words, -0.7), text("Nobody answered her.")) == stuck
