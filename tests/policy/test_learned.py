"""Settings that readers preferred are drawn more often, and their density is told."""

import math
from collections import Counter
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings, strategies
from scipy.optimize import minimize

from fate.core.sampling import SettingsRanges
from fate.policy import Contest, LearnedPolicy, UniformPolicy
from fate.policy.learned import _table
from fate.policy.logit import conditional_logit

RANGES = SettingsRanges(top_k=(8, 40))


def drawn(ranges, rng):
    """What a reader is offered at random, as a contest has it."""
    return tuple((s.top_k, s.temperature, s.typical_p, s.muse_damp) for s in ranges.draw(rng, 3))


def history(likes, choices, ranges=RANGES, steps=12, seed=0):
    """What a reader chooses who likes some settings, where ``likes(settings, step)`` is the liking in nats."""
    rng, contests = Random(seed), []
    for number in range(choices):
        offered = drawn(ranges, rng)
        weights = [math.exp(likes(each, number % steps)) for each in offered]
        contests.append(Contest(number % steps, offered, rng.choices(range(3), weights)[0]))
    return contests


def learned(ranges, contests):
    return LearnedPolicy(ranges, lambda: contests)


def cool_at_first_and_warm_later(each, step):
    return (each[1] - 0.9) * (-12 if step < 4 else 12)


def temperatures(policy, step, n=100):
    rng = Random(1)
    return [draw.settings.temperature for _ in range(n) for draw in policy.draw(rng, 3, step)]


def test_without_a_history_draws_are_uniform():
    mine, theirs = learned(RANGES, []), UniformPolicy(RANGES)
    assert mine.draw(Random(3), 3, 0) == theirs.draw(Random(3), 3, 0)


def test_what_was_preferred_at_a_step_is_drawn_more_often_there():
    policy = learned(RANGES, history(cool_at_first_and_warm_later, 600))
    uniform = np.mean([s.temperature for _ in range(300) for s in RANGES.draw(Random(_), 3)])
    assert np.mean(temperatures(policy, 0)) < uniform - 0.03
    assert np.mean(temperatures(policy, 11)) > uniform + 0.03


def test_what_lies_in_the_middle_can_be_preferred():
    policy = learned(RANGES, history(lambda each, step: -200 * (each[2] - 0.8) ** 2, 600))
    rng = Random(1)
    typical = np.array([draw.settings.typical_p for _ in range(200) for draw in policy.draw(rng, 3, 5)])
    assert np.mean(np.abs(typical - 0.8) < 0.1) > 0.65  # of the whole range, that is half


def test_a_few_choices_change_little_and_more_of_them_more():
    shift = [
        abs(np.mean(temperatures(learned(RANGES, history(lambda e, s: -12 * e[1], choices)), 5)) - 0.85)
        for choices in (2, 500)
    ]
    assert shift[0] < shift[1]


def test_a_liking_for_a_place_on_the_screen_is_not_taken_for_one_of_settings():
    rng = Random(5)
    offers = [drawn(RANGES, rng) for _ in range(300)]
    offers[:100] = [sorted(offer, key=lambda each: each[1]) for offer in offers[:100]]  # the coolest stands first
    there = [Contest(0, tuple(offer), 0) for offer in offers]
    anywhere = []
    for offer in offers:
        mixed = rng.sample(offer, 3)
        anywhere.append(Contest(0, tuple(mixed), mixed.index(offer[0])))
    shifts = [0.84 - np.mean(temperatures(learned(RANGES, contests), 0)) for contests in (there, anywhere)]
    assert shifts[0] < 0.6 * shifts[1]  # where what won was always first, and where it stood anywhere


def test_the_density_of_a_draw_is_the_mean_over_all_curves():
    policy = learned(RANGES, history(cool_at_first_and_warm_later, 100))
    densities = policy._densities(3)
    for draw in policy.draw(Random(9), 3, 3):
        low, high = RANGES.part(draw.settings.top_k)
        s = draw.settings
        place = RANGES.place(s.top_k, s.temperature, s.typical_p, s.muse_damp)
        fine = np.linspace(low, high, 20_001)
        top_k = densities[:, 0, np.minimum((fine * 16).astype(int), 15)].mean(-1)
        sides = [densities[:, side, min(int(place[side] * 16), 15)] for side in (1, 2, 3)]
        ratio = np.mean(top_k * np.prod(sides, 0))
        assert draw.log_density == pytest.approx(RANGES.log_density(s) + math.log(0.1 + 0.9 * ratio), abs=1e-3)


def test_the_curves_are_as_uncertain_as_the_choices_leave_them():
    contests = history(cool_at_first_and_warm_later, 150)
    features, absent, won, precision = _table(RANGES, contests)
    mean, covariance = conditional_logit(features, absent, won, precision)

    def objective(at):
        liking = features @ at
        return float(
            (np.log(np.exp(liking).sum(1)) - liking[np.arange(150), won]).sum() + (precision * at * at).sum() / 2
        )

    assert minimize(objective, np.zeros(len(mean))).x == pytest.approx(mean, abs=0.01)
    for i, j in ((0, 0), (3, 7), (16, 2)):  # the curvature by differences
        e, f = 1e-3 * np.eye(len(mean))[[i, j]]
        corners = objective(mean + e + f) - objective(mean + e - f) - objective(mean - e + f) + objective(mean - e - f)
        assert np.linalg.inv(covariance)[i, j] == pytest.approx(corners / 4e-6, rel=1e-2, abs=1e-2)
    off = learned(RANGES, contests)._coefficients.reshape(64, -1) - mean[:16]
    normal = np.linalg.solve(np.linalg.cholesky(covariance[:16, :16]), off.T).T
    assert normal == pytest.approx(np.random.default_rng(0).standard_normal((64, len(mean)))[:, :16])


@pytest.mark.parametrize(
    "ranges",
    [
        RANGES,
        SettingsRanges(),
        SettingsRanges(top_k=(1, 3), coupling=1.0),
        SettingsRanges(temperature=(0.8, 0.8), muse_damp=(0.5, 0.5)),
        SettingsRanges(top_k=(50, 50), typical_p=(1.0, 1.0)),
    ],
)
def test_the_density_is_that_of_the_draws(ranges):
    policy = learned(ranges, history(cool_at_first_and_warm_later, 60, ranges))
    uniform, rng = UniformPolicy(ranges), Random(2)

    def ratios(drawing):
        draws = [draw for _ in range(600) for draw in drawing.draw(rng, 3, 2)]
        return [policy.log_density(d.settings, 2) - ranges.log_density(d.settings) for d in draws]

    # Weighted by what the one policy finds likelier, the draws of the other are its own: the weights' mean is 1.
    assert np.mean(np.exp(ratios(uniform))) == pytest.approx(1, abs=0.1)
    assert np.mean(np.exp(np.negative(ratios(policy)))) == pytest.approx(1, abs=0.1)


def test_the_share_of_a_top_k_is_its_density():
    ranges = SettingsRanges(top_k=(1, 6), temperature=(0.8, 0.8), typical_p=(1.0, 1.0), muse_damp=(0.7, 0.7))
    policy = learned(ranges, history(lambda each, step: each[0], 80, ranges))
    rng, seen = Random(4), Counter()
    for _ in range(500):
        seen.update(draw.settings.top_k for draw in policy.draw(rng, 3, 0))
    stated = [
        math.exp(policy.log_density(replace(ranges.fixed, top_k=k, temperature=0.8, typical_p=1.0), 0))
        for k in range(1, 7)
    ]
    assert sum(stated) == pytest.approx(1)
    assert [seen[k] / 1500 for k in range(1, 7)] == pytest.approx(stated, abs=0.04)
    assert stated[5] > 3 * stated[0]


@settings(max_examples=30, deadline=None)
@given(strategies.integers(0, 10**6), strategies.integers(0, 40), strategies.integers(1, 30))
def test_what_is_drawn_is_never_less_likely_than_a_tenth_of_uniform(seed, step, choices):
    policy = learned(RANGES, history(cool_at_first_and_warm_later, choices))
    for draw in policy.draw(Random(seed), 3, step):
        uniform = RANGES.log_density(draw.settings)
        assert math.isfinite(uniform)
        assert draw.log_density == policy.log_density(draw.settings, step)
        assert draw.log_density >= uniform + math.log(0.1)


def test_the_three_differ_and_the_same_random_numbers_give_the_same():
    policy = learned(RANGES, history(cool_at_first_and_warm_later, 400))
    for seed in range(30):
        draws = policy.draw(Random(seed), 3, 1)
        assert len({draw.settings for draw in draws}) == 3
        assert draws == policy.draw(Random(seed), 3, 1)


def test_what_is_out_of_the_ranges_is_neither_drawn_nor_learnt_from():
    wide = SettingsRanges(temperature=(0.3, 2.0), top_k=(8, 40), coupling=0)
    narrow = SettingsRanges(temperature=(0.7, 1.1), top_k=(8, 40), coupling=0)
    # A reader who minds great heat alone, under whatever ranges.
    policy = learned(narrow, history(lambda each, step: -20 * max(each[1] - 1.2, 0), 600, wide))
    assert np.mean(temperatures(policy, 5)) == pytest.approx(0.9, abs=0.03)
    assert policy.log_density(replace(narrow.fixed, temperature=1.2), 0) == -math.inf


def test_very_many_values_of_top_k_have_a_density_each():
    huge = SettingsRanges(top_k=(8, 10**17))
    policy = learned(huge, history(lambda each, step: 0, 30, huge))
    assert all(math.isfinite(draw.log_density) for n in range(100) for draw in policy.draw(Random(n), 3, 0))


def test_what_cannot_be_read_now_is_read_the_next_time():
    answers = [OSError("locked"), history(cool_at_first_and_warm_later, 50)]

    def asked():
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    policy = LearnedPolicy(RANGES, asked)
    with pytest.raises(OSError, match="locked"):
        policy.draw(Random(0), 3, 0)
    assert policy.draw(Random(0), 3, 0) == policy.draw(Random(0), 3, 0) != UniformPolicy(RANGES).draw(Random(0), 3, 0)


def test_many_choices_that_all_say_the_same_are_learnt():
    offers = [drawn(RANGES, Random(n)) for n in range(3000)]
    coolest = [Contest(0, offer, [each[1] for each in offer].index(min(each[1] for each in offer))) for offer in offers]
    policy = learned(RANGES, coolest)
    assert np.mean(temperatures(policy, 0)) < 0.82
