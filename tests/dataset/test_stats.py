from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fate.core.choice import Decision
from fate.dataset.stats import Agreement, Share, stats
from tests.dataset.playing import play


def judge(store, choice, verdict, annotator):
    """Take the candidate at a place, or say that it is a tie (t) or that none is good (r)."""
    kind = {"t": "tie", "r": "none_good"}.get(verdict, "chosen")
    taken = choice.candidates[verdict].id if kind == "chosen" else None
    store.decide(choice, Decision(kind, taken, 500, annotator, True, review=True))


def test_an_empty_database_has_not_enough_data(store):
    found = stats(store)
    assert (found.stories, found.choices, found.reading_seconds) == (0, 0, None)
    assert str(found.agreement_between) == "not enough data (0)"
    assert not found.positions[0].says_something


def test_what_was_decided_is_counted_as_it_stands(store):
    play(store, "12r3tewu", annotator="Ann")
    found = stats(store)
    assert (found.stories, found.choices, found.candidates) == (1, 7, 23)
    assert found.decisions == {"chosen": 3, "none_good": 1, "tie": 1, "edited": 1, "undone": 1}
    assert found.annotators == {"Ann": 7}
    assert found.reading_seconds == 0.3
    assert found.positions == [Share(1, 3), Share(1, 3), Share(1, 3)]
    for thirds in found.wins.values():
        assert sum(share.whole for _, _, share in thirds) == 9
        assert sum(share.part for _, _, share in thirds) == 3


def test_thirds_grid_and_steps_count_every_candidate_once(store):
    play(store, "123123123")
    play(store, "1", opening="Another.")
    found = stats(store)
    for shares in ([share for row in found.grid for share in row], [share for row in found.steps for share in row]):
        assert sum(share.whole for share in shares) == 30
        assert sum(share.part for share in shares) == 10
    assert [sum(share.whole for share in row) for row in found.steps] == [6, 6, 12, 6, 0]
    for thirds in found.wins.values():
        assert [share.whole for _, _, share in thirds] == [10, 10, 10]


def test_agreement_is_counted_between_annotators_and_within_one(store):
    play(store, "12", annotator="Ann")
    first, second = store.choices()
    judge(store, first, 0, "Ben")  # as Ann
    judge(store, second, 2, "Ben")  # not as Ann
    judge(store, first, 0, "Cat")  # as both
    assert stats(store).agreement_between.same == Share(3, 4)
    judge(store, first, 0, "Ann")
    judge(store, second, 0, "Ann")
    assert stats(store).agreement_within.same == Share(1, 2)


def test_what_was_withdrawn_is_no_second_judgement(store):
    play(store, "1u2")
    found = stats(store)
    assert found.agreement_within.same == Share(0, 0)
    assert found.positions[1] == Share(1, 1)


def test_kappa_is_that_of_the_table_of_two_annotators(store):
    # Of fifty choices, in the order of Ann's and Ben's judgements: both 1, 1 and a tie, a tie and 1, both a tie.
    # Cohen: 0.7 agree, by chance 0.5 * 0.6 + 0.5 * 0.4 = 0.5 would, so kappa is 0.4.
    said = [("1", 0)] * 20 + [("1", "t")] * 5 + [("t", 0)] * 10 + [("t", "t")] * 15
    play(store, "".join(ann for ann, _ in said), annotator="Ann")
    for choice, (_, ben) in zip(store.choices(), said, strict=True):
        judge(store, choice, ben, "Ben")
    found = stats(store)
    assert found.agreement_between.same == Share(35, 50)
    assert found.agreement_between.by_chance == pytest.approx(0.5)
    assert found.agreement_between.kappa == pytest.approx(0.4)
    assert "Cohen's kappa 0.40 (0.12 to 0.62)" in str(found.agreement_between)
    assert str(found.agreement_within) == "not enough data (0)"


def test_an_edit_agrees_with_whoever_took_its_draft(store):
    play(store, "ew", annotator="Ann")
    edited, written = store.choices()
    judge(store, edited, 1, "Ben")
    judge(store, written, 1, "Ben")
    assert stats(store).agreement_between.same == Share(1, 2)


def test_kappa_of_several_annotators_is_pooled_over_their_pairs(store):
    play(store, "1t" * 5, annotator="Ann")
    for number, choice in enumerate(store.choices()):
        judge(store, choice, (0, "t")[number % 2], "Ben")  # always as Ann, half of it by chance
        judge(store, choice, 0, "Cat")  # half of the time as the others, all of it by chance
    found = stats(store).agreement_between
    assert found.same == Share(10 + 5 + 5, 30)
    assert found.by_chance == pytest.approx(0.5)
    assert found.kappa == pytest.approx(1 / 3)


def test_one_and_the_same_judgement_throughout_says_nothing_about_chance():
    always = Agreement(Share(40, 40), 1.0)
    assert always.kappa is None
    assert "not enough data (one and the same judgement throughout)" in str(always)
    assert str(Agreement(Share(29, 29), 0.4)) == "not enough data (29)"


def test_a_deleted_story_counts_nowhere(store):
    gone = play(store, "1t" * 20, annotator="Ann")
    for choice in store.choices():
        judge(store, choice, 0, "Ben")
    play(store, "2", annotator="Ann")
    store.put(gone, "deleted")
    found = stats(store)
    assert (found.stories, found.choices, found.candidates) == (1, 1, 3)
    assert found.decisions == {"chosen": 1}
    assert found.annotators == {"Ann": 1}
    assert found.agreement_between.same == Share(0, 0)
    assert found.positions == [Share(0, 1), Share(1, 1), Share(0, 1)]


def test_reviews_move_no_reader(store):
    story = play(store, "1", annotator="Ann")
    (choice,) = store.choices()
    judge(store, choice, 2, "Ben")
    judge(store, choice, 1, "Ann")
    assert store.path(story).tip_id == choice.candidates[0].id
    assert [d.annotator for d in store.choice_of(choice.candidates[0].id).decisions] == ["Ben", "Ann"]
    assert store.last_decided(story).id == choice.id
    assert store.open_choice(story) is None
    assert stats(store).positions == [Share(1, 1), Share(0, 1), Share(0, 1)]  # the choice counts once, as played


@given(st.integers(0, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilsons_interval_holds_the_share_and_stays_a_share(counts):
    part, whole = counts
    low, high = Share(part, whole).interval()
    assert 0 <= low <= high <= 1
    if whole:
        assert low - 1e-12 <= Fraction(part, whole) <= high + 1e-12


def test_wilsons_interval_is_the_published_one():
    low, high = Share(8, 10).interval()
    assert (round(low, 4), round(high, 4)) == (0.4902, 0.9433)
