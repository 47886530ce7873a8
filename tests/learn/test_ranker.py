"""What readers like in a text is learnt from what they chose, and told only where it holds in other stories."""

import sqlite3
from contextlib import closing
from random import Random

import numpy as np
import pytest

from fate.auto import write
from fate.core.choice import Continuation, Decision
from fate.core.sampling import SamplerSettings
from fate.learn.measuring import LearnError
from fate.learn.ranker import TRAITS, Comparison, Ranker, comparisons, ranker_of, recent, traits
from fate.store import Store
from fate.store.tensors import pack_outputs
from tests.command import run
from tests.dataset.playing import play
from tests.fakes import TEXTS
from tests.playing import playing

LONG = 0
STORY = "The old man looked at the sea."


def readers(weights, number=400, at_place=0.0, seed=0):
    """Comparisons whose readers like traits by ``weights``, and the first place by ``at_place``."""
    rng = np.random.default_rng(seed)
    made = []
    for n in range(number):
        size = rng.integers(2, 4)
        offered, places = rng.standard_normal((size, len(TRAITS))), np.eye(3)[:size]
        liking = offered @ weights + places[:, 0] * at_place + rng.gumbel(size=size)
        merits = [(float(traits[1]), 10.0) for traits in offered]
        made.append(Comparison(f"story {n % 20}", offered, places, merits, int(liking.argmax())))
    return made


def test_what_readers_like_is_found_within_what_the_choices_leave_open():
    weights = np.array([1.0, -0.5, 0.0, 0.3, 0.0])
    for seed in range(5):
        ranker = Ranker(readers(weights, 1000, seed=seed))
        assert np.abs(ranker.weights - weights).max() < 3.5 * ranker.deviations.max()
        assert ranker.deviations.max() < 0.15
        assert ranker.measured.learnt
        assert ranker.measured.examples == 1000
        for (name, times, low, high), weight in zip(ranker.odds(), ranker.weights, strict=True):
            assert low < times < high, name
            assert times == pytest.approx(np.exp(weight))


def test_of_readers_who_like_nothing_nothing_is_learnt():
    rankers = [Ranker(readers(np.zeros(len(TRAITS)), seed=seed)) for seed in range(20)]
    assert sum(ranker.measured.learnt for ranker in rankers) <= 4  # one of twenty by chance
    assert sum(ranker.better for ranker in rankers) <= 3


def test_a_liking_for_a_place_on_the_screen_is_not_taken_for_one_of_a_text():
    every = readers(np.zeros(len(TRAITS)), 1000, at_place=2.0)
    for comparison in every:
        comparison.traits[0, LONG] += 2.0  # what stands first is longer, as it happens
    assert abs(Ranker(every).weights[LONG]) < 0.3


def test_what_the_games_own_order_finds_as_often_is_not_better():
    likelier = np.array([0.0, 2.0, 0.0, 0.0, 0.0])  # which is that order
    ranker = Ranker(readers(likelier, 1000))
    assert ranker.measured.learnt
    assert abs(ranker.usual - ranker.measured.found) < 20
    assert not ranker.better
    assert "does not go by it" in str(ranker)
    longer = Ranker(readers(likelier[::-1] + np.array([2.0, 0.0, 0.0, 0.0, 0.0]), 1000))
    assert longer.better
    assert longer.usual < longer.measured.found
    assert str(longer).endswith("`fate auto` goes by it.")


def test_a_text_is_measured_by_its_words_its_likelihood_and_the_story_before_it():
    told = recent(STORY)
    found = traits(told, ' "Look at the sea, old one," he said.', (-1.0, -2.0), ends=False)
    assert dict(zip(TRAITS, found, strict=True)) == {
        "twice as many words": 3.0,
        "each token 2.7 times as likely": -1.5,
        "speech": 1.0,
        "a tenth more of its words from the story": 0.0,  # of "look" and "said", as shorter ones are in any text
        "an end of the story": 0.0,
    }
    assert traits(told, " The man looked away.", (-1.0,), ends=True)[2:] == (0.0, 5.0, 1.0)
    assert traits(told, "…", (-1.0,), ends=False) == (0.0, -1.0, 0.0, 0.0, 0.0)
    assert "looked" not in recent(f"{STORY}{' and so on' * 50}")
    assert "looked" not in recent(f"{STORY}{' ' * 2000}")


def test_only_a_choice_among_candidates_is_learnt_from(store):
    play(store, "1t2e3w")
    play(store, "12u", opening="Another.")
    every = list(comparisons(store))
    assert sorted(comparison.won for comparison in every) == [0, 0, 1, 2]
    for comparison in every:
        assert comparison.traits.shape == (3, len(TRAITS))
        assert (comparison.places == np.eye(3)).all()


def test_of_what_several_said_of_a_choice_the_last_counts_once(store):
    play(store, "12")
    first, second = store.choices()
    for annotator in ("Ann", "Ben"):
        store.decide(first, Decision("chosen", first.candidates[2].id, 300, annotator, blind=True, review=True))
    store.decide(second, Decision("none_good", None, 300, "Ann", blind=True, review=True))
    assert sorted(comparison.won for comparison in comparisons(store)) == [1, 2]


@pytest.mark.parametrize(
    "change",
    [
        *("output_tensors = NULL", "output_tensors = X'0011'", "output_tensors = X''", "kept = 0"),
        *("finish_reason = 'cancelled'", "origin = 'written'"),
    ],
)
def test_what_cannot_be_compared_is_left_out(store, change):
    play(store, "12")
    (first, _) = store.choices()
    store.close()
    with closing(sqlite3.connect(store.file)) as connection, connection:
        passed_over = [c.id for c in first.candidates if c.id != first.decision.candidate_id]
        for candidate_id in passed_over:
            connection.execute(f"UPDATE candidate SET {change} WHERE id = ?", (candidate_id,))
    store = Store(store.file)
    assert len(list(comparisons(store))) == 1
    with store._writing() as session:
        nan = pack_outputs((5, 5), logprobs=(-1.0, float("nan")))
        session.connection().exec_driver_sql("UPDATE candidate SET output_tensors = ?", (nan,))
    assert list(comparisons(store)) == []
    store.close()


def test_a_deleted_story_teaches_nothing(store):
    store.put(play(store, "12"), "deleted")
    assert list(comparisons(store)) == []


def test_too_few_choices_teach_nothing(store):
    for n in range(4):
        play(store, "1" * 12, opening=f"Story {n}.")
    with pytest.raises(LearnError, match="48 decisions in 4 stories"):
        Ranker(list(comparisons(store)))
    assert ranker_of(store) is None


@pytest.fixture
def talkers(store):
    """A database of readers who want to be spoken to."""
    for n in range(8):
        story = playing(store, seed=n, story=store.new_story(f"Story {n}."))
        for _ in range(8):
            *_, last = story.offer()
            choice = last.choice
            story.choose(choice, next(c for c in choice.candidates if '"' in c.written.text), 300)
    return store


def test_a_story_that_fate_writes_takes_what_readers_like(talkers):
    assert next(write(playing(talkers), 1)) == max(TEXTS, key=len)
    assert next(write(playing(talkers), 1, ranker_of(talkers))) == next(text for text in TEXTS if '"' in text)


def test_a_candidate_of_no_text_is_liked_least(talkers):
    silent = Continuation(SamplerSettings(), seed=0, output_ids=(5,), logprobs=(-0.1,), finish_reason="eos")
    assert ranker_of(talkers).liking(STORY, silent) == -np.inf


def test_what_does_not_hold_in_other_stories_is_not_taken(store):
    rng = Random(0)
    for n in range(8):
        story = playing(store, seed=n, story=store.new_story(f"Story {n}."))
        for _ in range(8):
            *_, last = story.offer()
            story.choose(last.choice, rng.choice(last.choice.candidates), 300)
    ranker = ranker_of(store)
    assert not ranker.better
    assert next(write(playing(store), 1, ranker)) == max(TEXTS, key=len)


def test_what_readers_like_is_told(talkers):
    lines = run("stats", "--db", str(talkers.file)).stdout.splitlines()
    told = lines[lines.index("liked in a text, by how many times the odds to be chosen, with 95 % intervals:") + 1 :]
    ranker = ranker_of(talkers)
    odds = ranker.odds()
    assert told[:-1] == [f"  {name}: {times:.2f} ({low:.2f} to {high:.2f})" for name, times, low, high in odds]
    assert told[-1] == f"  {ranker}"
    assert "64 of 64, 21 ± 4 by chance" in told[-1]
