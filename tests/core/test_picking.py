import itertools

import pytest

from fate.core.choice import Continuation
from fate.core.picking import Picker
from fate.core.sampling import SamplerSettings

STORY = "Once upon a time there was a girl who kept a lantern."
WIND = " A cold wind came in."
NOTHING, CUT, UNMATCHED = "", " Nobody knew it was he", ' Nobody knew." Who was he?'
ALIKE, AGAIN, GOOD = WIND, f" {STORY}", " Nobody answered her."
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


@pytest.mark.parametrize(("likely", "better"), itertools.pairwise((NOTHING, CUT, UNMATCHED, ALIKE, AGAIN, GOOD)))
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
    ("words", "clumsy"),
    [
        ("Irrrrr.", True),
        ("Ha ha, hahahahaha!", True),
        ("He simply simply stared.", True),
        ("The old cat sat down and asked the old cat why.", True),
        ("He saw the cat. The cat saw the dog.", False),
        ("The cat saw the category.", False),
        ("Brrrr, a bookkeeper!", False),
        ("Ha ha, here he here.", False),
    ],
)
def test_a_clumsy_text_comes_after_others(words, clumsy):
    assert picked(text(words, -0.7), text("Nobody answered her.")) == clumsy


@pytest.mark.parametrize(
    ("story", "joined", "apart"),
    [
        ("we took the night bus to Zagreb", "es went on.", ", and nobody spoke."),
        ("Am Ende stand ein Bücherregal", "ß war es nicht.", " aus Holz."),
        ("the shop at number 4", "2 was shut.", ". Nobody came."),
    ],
)
def test_a_text_that_would_change_the_last_word_of_an_opening_comes_after_others(story, joined, apart):
    assert Picker(story).pick([text(joined, -0.7), text(apart)], ()).text == apart


@pytest.mark.parametrize(
    ("story", "words"), [(STORY, "There it was."), ("she said (", "and ran."), ("夜の森", "で鳥が鳴いた.")]
)
def test_no_text_changes_a_word_where_none_is_open_or_no_spaces_part_them(story, words):
    assert Picker(story).pick([text(" Nobody came."), text(words, -0.7)], ()).text == words


@pytest.mark.parametrize(
    ("story", "unmatched", "matched"),
    [
        ("She woke.", ' Do you see them?"\n\nThey nod.', ' "Who is it?"\n\nNobody knew.'),
        ('"I see ghosts.', " They nod.", ' Do you?" They nod.'),
        ('"I see ghosts."\n', '"You do? They nod.', '"You do?" They nod.'),
        ("“I see ghosts.", " They nod.", " Do you?” They nod."),
        ("«Ghosts.", '" They nod.', " They nod."),
    ],
)
def test_a_text_whose_quotation_marks_do_not_match_comes_after_others(story, unmatched, matched):
    assert Picker(story).pick([text(unmatched, -0.7), text(matched)], ()).text == matched


def test_who_asked_a_question_does_not_answer_it_if_somebody_else_can():
    answers = text('\n\n"Nobody knows," said the old king.', -0.7), text('\n\n"Nobody knows," said the fool.')
    for question, picked in (('"Is it far?" asked the king.', 1), ('"It is far," said the king.', 0)):
        assert Picker(f"{STORY} {question}").pick(answers, ()) is answers[picked]
