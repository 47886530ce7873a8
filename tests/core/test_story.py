import pytest
from hypothesis import given
from hypothesis import strategies as st

from fate.core.story import Path, ends_sentence, prompt_window, title_of


def test_a_path_reads_as_its_opening_and_passages():
    assert Path("s", "t", "Once", (" upon", " a time."), "c").text == "Once upon a time."


@pytest.mark.parametrize(
    ("text", "following"),
    [
        ("He slept.", " She"),
        ("He slept!", " She"),
        ('"Stop!"', " Ann"),
        ('He said, "No."', " Then"),
        ("He slept.", "\n\n"),
        ("“Stop.”", " Ann"),
        ("彼は寝た。", "次"),
        ('"I am tired.', "\n\n"),
        ("He slept. (And how!)", " She"),
    ],
)
def test_a_sentence_ends(text, following):
    assert ends_sentence(text, following)


@pytest.mark.parametrize(
    ("text", "following"),
    [
        ("He slept", " She"),
        ("He slept.", ""),
        ("He slept.", '"'),
        ("He slept.", "."),
        ('"Stop!"', " said"),
        ("Mr.", " Hale"),
        ("It was Dr.", " No"),
        ("J.", " Smith"),
        ('"I am tired. I want to go.', " I"),
        ("“I am tired.", " I"),
        ("3.", "14"),
        ("", " She"),
        ("「寝た。", "」"),
    ],
)
def test_a_sentence_goes_on(text, following):
    assert not ends_sentence(text, following)


def test_quotes_of_an_earlier_paragraph_do_not_keep_a_sentence_open():
    assert ends_sentence('"A quote that runs on.\n\nHe slept.', " She")


@given(st.lists(st.integers()), st.integers(4, 50))
def test_the_window_is_an_end_of_the_story_that_fits(ids, window):
    cut = prompt_window(ids, window)
    assert len(cut) <= window
    assert list(cut) == (ids[-len(cut) :] if cut else [])
    assert len(cut) == len(ids) or len(cut) == window * 3 // 4


@given(st.lists(st.integers()), st.integers(8, 50), st.lists(st.integers(), max_size=4))
def test_what_stands_before_any_part_of_a_story_stays_where_the_window_cuts(story, window, kept):
    ids = [*kept, *story]
    cut = prompt_window(ids, window, kept)
    assert len(cut) <= window
    assert list(cut[: len(kept)]) == kept
    rest = list(cut[len(kept) :])
    assert rest == (story[-len(rest) :] if rest else [])


@given(st.text())
def test_titles_are_short_lines(text):
    title = title_of(text)
    assert len(title) <= 50
    assert "\n" not in title


def test_a_title_that_was_cut_after_a_sentence_has_no_full_stop_before_its_ellipsis():
    opening = "Detective James looked at the clock on the wall. It had stopped at midnight."
    assert title_of(opening) == "Detective James looked at the clock on the wall…"
