import pytest

from fate.core.choice import Text, pairs, unpaired

OFFERED = [Text(f"c{slot}", f" text {slot}") for slot in range(3)]
EDITED = Text("e", " text 1, better", draft_id="c1", by_hand=True)
WRITTEN = Text("w", " all mine", by_hand=True)


def ids(preferences):
    return [(chosen.id, rejected.id) for chosen, rejected in preferences]


def labels(preferences):
    return [(text.id, liked) for text, liked in preferences]


def test_a_chosen_candidate_is_preferred_to_each_that_was_passed_over():
    assert ids(pairs("chosen", "c1", OFFERED)) == [("c1", "c0"), ("c1", "c2")]
    assert labels(unpaired("chosen", "c1", OFFERED)) == [("c1", True), ("c0", False), ("c2", False)]


def test_a_candidate_that_reads_like_the_chosen_one_was_not_passed_over():
    twin = OFFERED[2]._replace(text=OFFERED[1].text)
    assert ids(pairs("chosen", "c1", [*OFFERED[:2], twin])) == [("c1", "c0")]


def test_an_edit_is_preferred_to_its_draft_and_to_nothing_else():
    assert ids(pairs("edited", "e", [*OFFERED, EDITED])) == [("e", "c1")]
    assert labels(unpaired("edited", "e", [*OFFERED, EDITED])) == [("e", True), ("c1", False)]


def test_a_text_by_hand_is_liked_and_compared_with_nothing():
    assert ids(pairs("written", "w", [*OFFERED, WRITTEN])) == []
    assert labels(unpaired("written", "w", [*OFFERED, WRITTEN])) == [("w", True)]


def test_a_text_by_hand_from_an_earlier_answer_was_not_passed_over():
    assert ids(pairs("chosen", "c0", [*OFFERED, EDITED, WRITTEN])) == [("c0", "c1"), ("c0", "c2")]


def test_of_none_good_every_candidate_is_disliked():
    assert ids(pairs("none_good", None, OFFERED)) == []
    assert labels(unpaired("none_good", None, [*OFFERED, WRITTEN])) == [(f"c{slot}", False) for slot in range(3)]


@pytest.mark.parametrize("kind", ["tie", "undone"])
def test_a_tie_and_a_withdrawn_decision_state_no_preference(kind):
    assert ids(pairs(kind, None, OFFERED)) == labels(unpaired(kind, None, OFFERED)) == []
