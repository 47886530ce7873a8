"""What readers like in a text is learnt from what they chose, and told only where it holds in other stories."""

from random import Random

import numpy as np
import pytest

from fate.auto import write
from fate.learn.measuring import LearnError
from fate.learn.ranker import TRAITS, Contest, Ranker, contests, ranker_of, traits
from tests.command import run
from tests.dataset.playing import play
from tests.fakes import TEXTS
from tests.playing import playing

LONG = 0
STORY = "The old man looked at the sea."


def readers(weights, number=400, at_place=0.0, seed=0):
    """Contests whose readers like traits by ``weights``, and the first place by ``at_place``."""
    rng = np.random.default_rng(seed)
    made = []
    for n in range(number):
        size = rng.integers(2, 4)
        offered, places = rng.standard_normal((size, len(TRAITS))), np.eye(3)[:size]
        liking = offered @ weights + places[:, 0] * at_place + rng.gumbel(size=size)
        made.append(Contest(f"story {n % 20}", offered, places, int(liking.argmax())))
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
    nothing = [Ranker(readers(np.zeros(len(TRAITS)), seed=seed)).measured.learnt for seed in range(20)]
    assert sum(nothing) <= 4  # one of twenty by chance


def test_a_liking_for_a_place_on_the_screen_is_not_taken_for_one_of_a_text():
    every = readers(np.zeros(len(TRAITS)), 1000, at_place=2.0)
    for contest in every:
        contest.traits[0, LONG] += 2.0  # what stands first is longer, as it happens
    assert abs(Ranker(every).weights[LONG]) < 0.3


def test_a_text_is_measured_by_its_words_its_likelihood_and_the_story_before_it():
    found = traits(STORY, ' "Look at the sea, old one," he said.', (-1.0, -2.0), ends=False)
    assert dict(zip(TRAITS, found, strict=True)) == {
        "twice as many words": 3.0,
        "likelier by a nat a token": -1.5,
        "speech": 1.0,
        "a tenth more words of the story": 0.0,  # of "look" and "said", as shorter ones are in any text
        "an end of the story": 0.0,
    }
    assert traits(STORY, " The man looked away.", (-1.0,), ends=True)[2:] == (0.0, 5.0, 1.0)
    long_ago = STORY + " and so on" * 50
    assert traits(long_ago, " The man looked away.", (-1.0,), ends=True)[3] == 0.0
    assert traits(STORY, "…", (), ends=False) == (0.0, 0.0, 0.0, 0.0, 0.0)


def test_only_a_choice_among_candidates_is_learnt_from(store):
    play(store, "1t2e3w")
    play(store, "12u", opening="Another.")
    every = contests(store)
    assert [contest.won for contest in every] == [
        next(i for i, c in enumerate(choice.candidates) if c.id == choice.decision.candidate_id)
        for choice in store.choices()
        if choice.decision.kind == "chosen"
    ]
    assert len(every) == 4
    for contest in every:
        assert contest.traits.shape == (3, len(TRAITS))
        assert (contest.places == np.eye(3)).all()


def test_too_few_choices_teach_nothing(store):
    for n in range(4):
        play(store, "1" * 12, opening=f"Story {n}.")
    with pytest.raises(LearnError, match="48 decisions in 4 stories"):
        Ranker(contests(store))
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


def test_what_does_not_hold_in_other_stories_is_not_taken(store):
    rng = Random(0)
    for n in range(8):
        story = playing(store, seed=n, story=store.new_story(f"Story {n}."))
        for _ in range(8):
            *_, last = story.offer()
            story.choose(last.choice, rng.choice(last.choice.candidates), 300)
    ranker = ranker_of(store)
    assert not ranker.measured.learnt
    assert next(write(playing(store), 1, ranker)) == max(TEXTS, key=len)


def test_what_readers_like_is_told(talkers):
    lines = run("stats", "--db", str(talkers.file)).stdout.splitlines()
    told = lines[lines.index("liked in a text, by what it multiplies the odds to be chosen:") + 1 :]
    odds = Ranker(contests(talkers)).odds()
    assert told[:-1] == [f"  {name}: {times:.2f} ({low:.2f} to {high:.2f})" for name, times, low, high in odds]
    assert told[-1] == "  what was chosen is found by that, learnt in other stories, in 64 of 64, 21 ± 4 by chance"
