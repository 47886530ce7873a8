import math
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from fate.core.sampling import SamplerSettings, SettingsRanges, ramp, spread


@st.composite
def ranges(draw):
    def span(low, high):
        a, b = sorted((draw(st.floats(low, high)), draw(st.floats(low, high))))
        return (a, b)

    k = sorted((draw(st.integers(1, 300)), draw(st.integers(1, 300))))
    return SettingsRanges(
        temperature=span(0.05, 3),
        top_k=(k[0], k[1]),
        typical_p=span(0.05, 1),
        muse_damp=span(0, 1.5),
        coupling=draw(st.floats(0, 1)),
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", 0),
        ("temperature", math.inf),
        ("temperature", math.nan),
        ("top_k", 0),
        ("typical_p", 0),
        ("typical_p", 1.01),
        ("muse_top_k", 0),
        ("muse_damp", -0.1),
        ("muse_damp_initial", math.nan),
        ("muse_damp_ramp_tokens", -1),
        ("muse_mode", "loud"),
        ("min_new_tokens", 57),
        ("max_new_tokens", 0),
        ("max_new_tokens", 56.5),
        ("best_of", 0),
        ("best_of", 65),
        ("top_k", True),
        ("temperature", "hot"),
    ],
)
def test_settings_out_of_range_are_refused_with_their_name_and_value(field, value):
    with pytest.raises(ValueError, match=rf"{field} must be .*{value!r}"):
        replace(SamplerSettings(), **{field: value})


@given(st.integers(0, 500), st.floats(0, 2), st.floats(0, 2), st.integers(1, 100))
def test_ramp_is_linear_then_flat(t, damp, initial, tokens):
    expected = damp if t >= tokens else initial + (damp - initial) * t / tokens
    assert ramp(t, damp, initial, tokens) == pytest.approx(expected)
    assert ramp(t, damp, initial, 0) == damp


@given(ranges(), st.integers(0, 2**32), st.integers(1, 9))
def test_every_draw_lies_in_its_ranges_and_has_a_density(r, seed, n):
    for settings in r.draw(Random(seed), n):
        assert r.top_k[0] <= settings.top_k <= r.top_k[1]
        assert r.temperature[0] <= settings.temperature <= r.highest_temperature(settings.top_k)
        assert r.typical_p[0] <= settings.typical_p <= r.typical_p[1]
        assert math.isfinite(r.log_density(settings))


@given(ranges(), st.integers(0, 2**32))
def test_settings_lie_where_they_were_drawn_from(r, seed):
    for place in spread(Random(seed), 3):
        settings = r.at(place)
        low, high = r.part(settings.top_k)
        assert low - 1e-9 <= place.top_k <= high + 1e-9
        found = r.place(settings.top_k, settings.temperature, settings.typical_p, settings.muse_damp)
        assert low <= found.top_k <= high
        again = r.at(found)
        assert again.top_k == settings.top_k
        for name in ("temperature", "typical_p", "muse_damp"):
            assert 0 <= getattr(found, name) <= 1
            assert getattr(again, name) == pytest.approx(getattr(settings, name), abs=1e-9)


def test_settings_outside_of_the_ranges_lie_at_their_edges():
    r = SettingsRanges(top_k=(8, 120))
    assert r.place(500, 9.0, 0.1, 0.0) == r.place(120, r.highest_temperature(120), r.typical_p[0], r.muse_damp[0])
    assert r.place(1, 0.1, 1.0, 9.0) == r.place(8, r.temperature[0], 1.0, r.muse_damp[1])


@given(st.integers(0, 2**32))
def test_three_draws_are_different_in_every_continuous_setting(seed):
    drawn = SettingsRanges().draw(Random(seed), 3)
    for name in ("temperature", "typical_p", "muse_damp"):
        assert len({getattr(settings, name) for settings in drawn}) == 3


@given(st.integers(0, 2**32))
def test_three_draws_use_each_third_of_a_range_once(seed):
    r = SettingsRanges()
    low, high = r.muse_damp
    thirds = sorted(int(3 * (s.muse_damp - low) / (high - low)) for s in r.draw(Random(seed), 3))
    assert thirds == [0, 1, 2]


def test_the_same_seed_draws_the_same_settings():
    r = SettingsRanges()
    assert r.draw(Random(7), 3) == r.draw(Random(7), 3)
    assert r.draw(Random(7), 3) != r.draw(Random(8), 3)


@pytest.mark.parametrize(
    "r",
    [
        SettingsRanges(),
        SettingsRanges(temperature=(0.3, 1.7), top_k=(1, 40), coupling=0.9),
        SettingsRanges(top_k=(20, 20), typical_p=(0.2, 0.5)),
        SettingsRanges(temperature=(0.7, 0.7), muse_damp=(0.5, 0.5)),
    ],
)
def test_the_density_integrates_to_one(r):
    def point(k, temperature, typical_p, damp):
        return replace(r.fixed, top_k=k, temperature=temperature, typical_p=typical_p, muse_damp=damp)

    def over(low, high, f):
        return integrate.fixed_quad(lambda xs: [f(x) for x in xs], low, high, n=4)[0] if high > low else f(low)

    total = 0.0
    for k in range(r.top_k[0], r.top_k[1] + 1):
        total += over(
            r.temperature[0],
            r.highest_temperature(k),
            lambda t, k=k: over(
                *r.typical_p,
                lambda p: over(*r.muse_damp, lambda d: math.exp(r.log_density(point(k, t, p, d)))),
            ),
        )
    assert total == pytest.approx(1, abs=1e-9)


def test_draws_follow_the_density():
    r = SettingsRanges(top_k=(4, 40))
    rng = Random(0)
    drawn = [settings for _ in range(4000) for settings in r.draw(rng, 3)]
    # top_k against its probability function
    mass = {k: math.log1p(1 / k) / math.log(41 / 4) for k in range(4, 41)}
    observed = [sum(s.top_k == k for s in drawn) for k in mass]
    assert stats.chisquare(observed, [len(drawn) * p for p in mass.values()]).pvalue > 1e-4
    # temperature, given top_k, is uniform up to the highest that this top_k allows
    low = r.temperature[0]
    u = [(s.temperature - low) / (r.highest_temperature(s.top_k) - low) for s in drawn]
    assert stats.kstest(u, "uniform").pvalue > 1e-4


def test_a_high_top_k_lowers_the_highest_temperature_by_the_coupling():
    r = SettingsRanges(temperature=(0.5, 1.5), top_k=(10, 1000), coupling=0.4)
    assert r.highest_temperature(10) == 1.5
    assert r.highest_temperature(100) == pytest.approx(0.5 + 1.0 * (1 - 0.4 / 2))
    assert r.highest_temperature(1000) == pytest.approx(0.5 + 1.0 * (1 - 0.4))


def test_settings_outside_the_ranges_have_no_density():
    r = SettingsRanges(temperature=(0.5, 1.5), top_k=(10, 1000), coupling=0.4)
    inside = replace(r.fixed, temperature=0.8, top_k=50, typical_p=0.9, muse_damp=0.7)
    assert math.isfinite(r.log_density(inside))
    for change in ({"top_k": 5}, {"temperature": 1.4, "top_k": 900}, {"typical_p": 0.2}, {"muse_damp": 1.2}):
        assert r.log_density(replace(inside, **change)) == -math.inf


@pytest.mark.parametrize(
    "bad",
    [{"temperature": (1.0, 0.5)}, {"top_k": (0, 5)}, {"typical_p": (0.5, 1.5)}, {"coupling": 1.5}],
)
def test_impossible_ranges_are_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        SettingsRanges(**bad)
