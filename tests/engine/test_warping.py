from dataclasses import replace
from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TypicalLogitsWarper

from fate import MuseLogitsWarper
from fate.core.sampling import MUSE_MODES, SamplerSettings, SettingsRanges
from fate.engine import native
from fate.engine.warping import Warper, inverse_cdf


def chain(scores, s, t):
    """transformers' own warpers, with the Muse between temperature and top-k; one row."""
    ids = torch.zeros(1, 3 + t, dtype=torch.long)
    muse = MuseLogitsWarper(
        s.muse_top_k, s.muse_damp, s.muse_damp_initial, s.muse_damp_ramp_tokens, s.muse_mode, prompt_length=3
    )
    warpers = [TemperatureLogitsWarper(s.temperature), muse, TopKLogitsWarper(s.top_k)]
    if s.typical_p < 1:
        warpers.append(TypicalLogitsWarper(s.typical_p))
    for warper in warpers:
        scores = warper(ids, scores)
    return scores.softmax(-1)


def batched(scores, drawn, t):
    logprobs, tokens = Warper(drawn)(scores, t)
    return torch.zeros(scores.shape, dtype=torch.float64).scatter(-1, tokens, logprobs.exp())


# Scores that the Muse leaves apart by their last bits only would come out by the order of additions.
damps = st.one_of(st.just(0.0), st.floats(1e-3, 1.5))
sampler_settings = st.builds(
    SamplerSettings,
    temperature=st.floats(0.1, 3),
    top_k=st.integers(1, 300),
    typical_p=st.one_of(st.floats(0.05, 0.999), st.just(1.0)),
    muse_top_k=st.integers(1, 12),
    muse_damp=damps,
    muse_damp_initial=damps,
    muse_damp_ramp_tokens=st.integers(0, 20),
    muse_mode=st.sampled_from(MUSE_MODES),
)


@pytest.mark.parametrize("vocabulary", [8, 9, 384, 8192, 50_257, 250_880])
@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_all_rows_at_once_equal_the_chain_of_transformers_warpers(vocabulary, data):
    drawn = data.draw(st.lists(sampler_settings, min_size=1, max_size=4))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 2**31)))
    scores = torch.randn(len(drawn), vocabulary, generator=generator) * data.draw(st.floats(0.5, 6))
    if data.draw(st.booleans()):
        scores[:, 1::3] = -torch.inf
    t = data.draw(st.integers(0, 30))
    got = batched(scores, drawn, t)
    for row, s in enumerate(drawn):
        torch.testing.assert_close(got[row], chain(scores[row : row + 1].double(), s, t)[0], atol=1e-5, rtol=0)


@given(st.integers(0, 2**31))
@settings(deadline=None, max_examples=25)
def test_a_row_does_not_depend_on_its_neighbours(seed):
    drawn = SettingsRanges().draw(Random(seed), 3)
    scores = torch.randn(3, 500, generator=torch.Generator().manual_seed(seed))
    together = batched(scores, drawn, 5)
    for row in range(3):
        alone = batched(scores[row : row + 1], drawn[row : row + 1], 5)
        torch.testing.assert_close(together[row], alone[0], atol=1e-6, rtol=0)


def test_the_scores_are_not_changed_and_may_be_of_half_precision():
    scores = torch.randn(2, 100).to(torch.bfloat16)
    before = scores.clone()
    logprobs, _ = Warper([SamplerSettings()] * 2)(scores, 0)
    assert torch.equal(scores, before)
    assert logprobs.dtype == torch.float64


@pytest.mark.parametrize("seed", range(3))
def test_the_inverse_cdf_draws_from_the_warped_distribution(seed):
    s = SettingsRanges().draw(Random(seed), 1)[0]
    scores = torch.randn(1, 400, generator=torch.Generator().manual_seed(seed)) * 2
    logprobs, _ = Warper([s])(scores, 9)
    n = 50_000
    stream = Random(seed)
    uniforms = torch.tensor([stream.random() for _ in range(n)], dtype=torch.float64)
    drawn = inverse_cdf(logprobs.expand(n, -1), uniforms)[:, 0]
    observed = torch.bincount(drawn, minlength=logprobs.shape[-1]).double()
    expected = logprobs[0].double().exp() * n
    assert observed[expected == 0].sum() == 0
    enough = expected >= 5  # the chi-square approximation wants five in each cell; the rest share one
    cells = [observed[enough].tolist(), expected[enough].tolist()]
    rest = [observed[~enough].sum().item(), expected[~enough].sum().item()]
    if rest[1] > 0:
        cells = [[*cell, r] for cell, r in zip(cells, rest, strict=True)]
    scale = sum(cells[0]) / sum(cells[1])
    assert stats.chisquare(cells[0], [e * scale for e in cells[1]]).pvalue > 1e-4


@given(st.lists(st.floats(0, 1), min_size=2, max_size=20), st.floats(0, 1, exclude_max=True))
def test_the_inverse_cdf_never_draws_an_impossible_column(weights, u):
    weights[0] += 0.1
    logprobs = torch.tensor([weights], dtype=torch.float64).log().log_softmax(-1)
    for uniform in (u, 0.0, 1 - 2**-53):
        column = inverse_cdf(logprobs, torch.tensor([uniform], dtype=torch.float64))
        assert logprobs[0, column[0, 0]] > -torch.inf


def test_the_muse_of_a_row_follows_its_ramp():
    base = replace(
        SamplerSettings(), temperature=1, top_k=100, typical_p=1, muse_top_k=1, muse_damp=0.25, muse_damp_initial=1
    )
    ramped = replace(base, muse_damp_ramp_tokens=10)
    scores = torch.randn(1, 100, generator=torch.Generator().manual_seed(0))
    m = scores.softmax(-1).max().item()
    for t, d in ((0, 1.0), (5, 0.625), (10, 0.25), (40, 0.25)):
        top = batched(scores, [ramped], t)[0, scores.argmax()].item()
        assert top == pytest.approx(d * m / (d * m + 1 - m), abs=1e-6)


@pytest.mark.skipif(native.library() is None, reason="it cannot be compiled here")
@settings(max_examples=300)
@given(
    drawn=st.lists(sampler_settings, min_size=1, max_size=9),
    vocabulary=st.one_of(st.integers(1, 60), st.integers(1, 3000)),
    t=st.integers(0, 20),
    seed=st.integers(0, 9999),
)
def test_compiled_code_draws_the_same(drawn, vocabulary, t, seed):
    rng = torch.Generator().manual_seed(seed)
    scores = 4 * torch.randn(len(drawn), vocabulary, generator=rng)
    if seed % 3 == 0:  # some are equal
        scores = (2 * scores).round() / 2 + torch.arange(vocabulary) * 1e-4 * (seed % 2)
    possible = scores.clone()
    if vocabulary > 2:
        possible[:, :: 2 + seed % 7] = -torch.inf  # some are impossible
    uniforms = torch.rand(len(drawn), generator=rng, dtype=torch.float64).tolist()
    warper = Warper(drawn)
    compiled = warper.draw(scores, possible, t, uniforms)
    warper._native = None
    for found, expected in zip(compiled, warper.draw(scores, possible, t, uniforms), strict=True):
        # Of scores that are equal, PyTorch may rank any first: the token may be another, its probability not.
        assert found[0] == expected[0] or seed % 3 == 0
        assert found[1:] == pytest.approx(expected[1:], abs=1e-5)


@pytest.mark.skipif(native.library() is None, reason="it cannot be compiled here")
@given(st.integers(0, 2**31))
@settings(deadline=None, max_examples=50)
def test_compiled_code_draws_for_a_row_what_it_draws_for_it_alone_even_where_scores_are_equal(seed):
    drawn = SettingsRanges().draw(Random(seed), 3)
    scores = (2 * torch.randn(3, 700, generator=torch.Generator().manual_seed(seed))).round()
    uniforms = [Random(seed + row).random() for row in range(3)]
    together = Warper(drawn).draw(scores, scores, 5, uniforms)
    for row in range(3):
        one = slice(row, row + 1)
        assert Warper(drawn[one]).draw(scores[one], scores[one], 5, uniforms[one]) == together[one]


def test_scores_that_are_no_numbers_are_not_drawn_from_by_compiled_code():
    for at in (3, 49):
        scores = torch.zeros(1, 50)
        scores[0, at] = torch.nan
        if (draws := Warper([SamplerSettings()]).at(0, [0.5])) is not None:
            draws.draw(scores, scores)
            assert draws.drawn is None
