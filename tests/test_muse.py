import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fate import MuseLogitsWarper
from tests.tiny_models import VOCABULARY, tiny_model

MODES = ("prob", "margin", "upstream")
PROMPT = torch.zeros(1, 4, dtype=torch.long)


@st.composite
def rows(draw, shape=(3, 24)):
    """Scores without ties, of any scale, some of them −inf."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    scores = torch.randn(shape, generator=generator, dtype=torch.float64) * draw(st.floats(0.1, 20))
    scores = scores + draw(st.floats(-50, 50))
    impossible = torch.rand(shape, generator=generator) < draw(st.floats(0, 0.9))
    impossible[:, 0] = False
    return scores.masked_fill(impossible, -torch.inf)


def warped(scores, **arguments):
    return MuseLogitsWarper(**arguments)(PROMPT.expand(len(scores), -1), scores)


@given(rows(), st.integers(1, 30), st.floats(0, 1.5), st.floats(-100, 100), st.sampled_from(["prob", "margin"]))
def test_prob_and_margin_do_not_depend_on_the_zero_point(scores, top_k, damp, shift, mode):
    here = warped(scores, top_k=top_k, damp=damp, mode=mode).softmax(-1)
    there = warped(scores + shift, top_k=top_k, damp=damp, mode=mode).softmax(-1)
    torch.testing.assert_close(here, there, atol=1e-9, rtol=1e-7)


def test_upstream_depends_on_the_zero_point():
    scores = torch.tensor([[3.0, 2.0, 1.0, 0.0]])
    here, there = (warped(s, top_k=1, damp=0.5, mode="upstream").softmax(-1) for s in (scores, scores - 10))
    assert here[0, 0] < scores.softmax(-1)[0, 0] < there[0, 0]


@given(rows(), st.integers(1, 30), st.floats(0.001, 1.5))
def test_prob_turns_the_top_mass_m_into_dm_over_dm_plus_the_rest(scores, top_k, damp):
    before = scores.softmax(-1)
    top = scores.topk(min(top_k, scores.shape[-1])).indices
    m = before.gather(-1, top).sum(-1)
    after = warped(scores, top_k=top_k, damp=damp).softmax(-1).gather(-1, top).sum(-1)
    torch.testing.assert_close(after, damp * m / (damp * m + 1 - m), atol=1e-9, rtol=1e-7)


@given(rows(), st.integers(1, 30))
def test_prob_with_damp_0_makes_the_top_impossible_unless_nothing_else_is_left(scores, top_k):
    out = warped(scores, top_k=top_k, damp=0)
    assert not out.isnan().any()
    for before, after in zip(scores, out, strict=True):
        possible = before.isfinite().sum()
        if possible > top_k:
            assert after.topk(1).indices not in before.topk(top_k).indices
            assert after.isfinite().sum() == possible - top_k
        else:
            assert torch.equal(after, before)


@given(rows(), st.integers(1, 30), st.floats(0, 1.5), st.sampled_from(MODES))
def test_nan_never_comes_out_and_something_finite_remains(scores, top_k, damp, mode):
    out = warped(scores, top_k=top_k, damp=damp, mode=mode)
    assert not out.isnan().any()
    assert out.isfinite().any(-1).all()
    assert (out == -torch.inf)[scores == -torch.inf].all()


@given(rows(), st.integers(1, 30), st.floats(0.01, 1))
def test_margin_is_a_temperature_above_the_next_score_and_keeps_the_order(scores, top_k, damp):
    out = warped(scores, top_k=top_k, damp=damp, mode="margin")
    order = scores.argsort(dim=-1, descending=True, stable=True)
    assert torch.equal(order, out.argsort(dim=-1, descending=True, stable=True))
    ranked, now = scores.gather(-1, order), out.gather(-1, order)
    for before, after in zip(ranked, now, strict=True):
        possible = before[before.isfinite()]
        boundary = possible[min(top_k, len(possible) - 1)]
        top = min(top_k, len(possible))
        torch.testing.assert_close(after[:top], boundary + damp * (before[:top] - boundary))
        assert torch.equal(after[top:], before[top:])


@given(rows(), st.integers(1, 23), st.floats(0, 1.5))
def test_upstream_multiplies_the_raw_top_scores(scores, top_k, damp):
    out = warped(scores, top_k=top_k, damp=damp, mode="upstream")
    top = scores.topk(top_k).indices
    expected = scores.scatter(-1, top, torch.where(scores.isfinite(), scores * damp, scores).gather(-1, top))
    torch.testing.assert_close(out, expected)


@given(rows(), st.integers(1, 30), st.floats(0, 1.5), st.sampled_from(MODES))
def test_rows_never_touch_and_the_input_is_not_changed(scores, top_k, damp, mode):
    before = scores.clone()
    together = warped(scores, top_k=top_k, damp=damp, mode=mode)
    assert torch.equal(scores, before)
    for i in range(len(scores)):
        assert torch.equal(together[i], warped(scores[i : i + 1], top_k=top_k, damp=damp, mode=mode)[0])


@given(st.floats(0, 1.5), st.floats(0, 1.5), st.integers(0, 20), st.integers(0, 40))
def test_the_ramp_is_told_by_the_prompt_length(damp, initial, ramp, t):
    scores = torch.tensor([[2.0, 1.0, 0.0]], dtype=torch.float64)
    muse = MuseLogitsWarper(1, damp, initial, ramp, prompt_length=4)
    d = damp if ramp == 0 else initial + min(t / ramp, 1) * (damp - initial)
    expected = scores.clone()
    expected[0, 0] += math.log(d) if d else -math.inf
    torch.testing.assert_close(muse(torch.zeros(1, 4 + t, dtype=torch.long), scores), expected)


def test_without_a_prompt_length_each_generation_starts_its_own_ramp():
    muse = MuseLogitsWarper(damp_ramp_tokens=10)
    first = [muse.position(length) for length in (5, 6, 7)]
    second = [muse.position(length) for length in (5, 6, 7)]
    longer = [muse.position(length) for length in (9, 10)]
    assert first == second == [0, 1, 2]
    assert longer == [0, 1]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_dtype_is_kept(dtype):
    assert warped(torch.randn(2, 9).to(dtype)).dtype == dtype


@pytest.mark.parametrize(
    ("arguments", "quoted"),
    [
        ({"top_k": 0}, "0"),
        ({"top_k": 2.5}, "2.5"),
        ({"top_k": True}, "True"),
        ({"damp": -1}, "-1"),
        ({"damp": math.nan}, "nan"),
        ({"damp": 1e39}, "1e.39"),
        ({"damp_initial": math.inf}, "inf"),
        ({"damp": "half"}, "'half'"),
        ({"damp_ramp_tokens": -3}, "-3"),
        ({"mode": "loud"}, "'loud'"),
        ({"prompt_length": -1}, "-1"),
    ],
)
def test_bad_arguments_are_refused_and_quoted(arguments, quoted):
    with pytest.raises(ValueError, match=quoted):
        MuseLogitsWarper(**arguments)


def test_what_was_finite_stays_finite_in_half_precision():
    out = warped(torch.tensor([[60000.0, -60000.0, 1.0]]).half(), top_k=3, damp=4, mode="upstream")
    assert out.isfinite().all()


def test_an_input_shorter_than_the_prompt_is_refused():
    with pytest.raises(ValueError, match="prompt_length = 9"):
        MuseLogitsWarper(prompt_length=9)(PROMPT, torch.randn(1, 9))


@settings(deadline=None, max_examples=5)
@given(st.sampled_from(MODES))
def test_it_works_inside_generate(mode):
    model = tiny_model("llama")
    prompt = torch.tensor([[0, 5, 6, 7]])
    muse = MuseLogitsWarper(top_k=2, damp=0.3, damp_ramp_tokens=4, mode=mode)
    torch.manual_seed(0)
    out = model.generate(prompt, do_sample=True, max_new_tokens=8, logits_processor=[muse], num_return_sequences=3)
    assert out.shape[0] == 3
    assert out.shape[1] <= 12


def test_with_damp_0_generate_never_takes_the_best_token():
    model = tiny_model("gpt2")
    prompt = torch.tensor([[3, 5, 6, 7]])
    muse = MuseLogitsWarper(top_k=1, damp=0, damp_initial=0)
    out = model.generate(prompt, do_sample=False, max_new_tokens=8, logits_processor=[muse], eos_token_id=None)
    best = model(out).logits[0].argsort(-1, descending=True)
    for position in range(4, out.shape[1]):
        assert out[0, position] == best[position - 1, 1]
    assert best.shape[1] == VOCABULARY
