from dataclasses import replace
from random import Random

import pytest
import torch
from transformers import AutoModelForCausalLM, MistralConfig, MistralForCausalLM

from fate.core.sampling import SamplerSettings, SettingsRanges
from fate.engine import load
from fate.engine.warping import Warper, inverse_cdf
from tests.tiny_models import CONTEXT, FAMILIES, VOCABULARY, save_tiny_model

OPENING = "Once upon a time there was a girl who kept a lantern."
DRAWN = SettingsRanges().draw(Random(3), 3)
SEEDS = (11, 12, 13)


def write(engine, prompt, drawn=DRAWN, seeds=SEEDS):
    generation = engine.generate(prompt, drawn, seeds)
    while not generation.done:
        generation.step()
    return generation


@pytest.fixture(params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture
def engine(family, engines):
    engines[family].forget()
    return engines[family]


def test_a_row_is_what_the_model_the_settings_and_the_seed_say(engine, family, tiny_folders):
    """Replays every row from scratch through transformers' plain forward, without a cache."""
    model = AutoModelForCausalLM.from_pretrained(tiny_folders[family], dtype=torch.float32).eval()
    prompt = engine.encode(OPENING)
    for row in write(engine, prompt).rows:
        assert 0 < len(row.output_ids) <= row.settings.max_new_tokens
        stream, warper = Random(row.seed), Warper([row.settings])
        with torch.inference_mode():
            scores = model(torch.tensor([prompt + row.output_ids])).logits[0, len(prompt) - 1 : -1]
        for t, token in enumerate(row.output_ids):
            uniform = stream.random()
            assert row.uniforms[t] == uniform
            possible = scores[t : t + 1].clone()
            if t == 0:
                possible[:, list(engine.eos_ids)] = -torch.inf
            logprobs, ranked = warper(possible, t)
            column = inverse_cdf(logprobs, torch.tensor([uniform], dtype=torch.float64))
            assert ranked.gather(-1, column).item() == token
            assert row.warped_logprobs[t] == pytest.approx(logprobs.gather(-1, column).item(), abs=1e-4)
            assert row.logprobs[t] == pytest.approx(scores[t].log_softmax(-1)[token].item(), abs=1e-4)


def test_what_was_read_before_is_not_read_again_and_changes_nothing(engine):
    prompt = engine.encode(OPENING)
    short = [replace(s, max_new_tokens=24) for s in DRAWN]
    first = write(engine, prompt, short)
    chosen = first.rows[1]
    longer = prompt + chosen.kept_ids
    second = write(engine, longer)
    assert first.cached_tokens == 0
    assert second.cached_tokens >= len(longer) - 2  # the last token of a row has not been read yet
    engine.forget()
    assert [r.output_ids for r in write(engine, longer).rows] == [r.output_ids for r in second.rows]


def test_after_undo_the_kept_beginning_is_still_used(engine):
    prompt = engine.encode(OPENING)
    first = write(engine, prompt, [replace(s, max_new_tokens=24) for s in DRAWN])
    write(engine, prompt + first.rows[2].kept_ids)
    again = write(engine, prompt, [replace(s, max_new_tokens=24) for s in DRAWN])
    assert again.cached_tokens == len(prompt) - 1
    assert [r.output_ids for r in again.rows] == [r.output_ids for r in first.rows]


def test_an_unrelated_prompt_starts_afresh(engine):
    write(engine, engine.encode(OPENING))
    other = engine.encode('"Home," said the hare.')
    generation = write(engine, other)
    assert generation.cached_tokens <= 1  # at most the model's start token
    engine.forget()
    assert [r.output_ids for r in write(engine, other).rows] == [r.output_ids for r in generation.rows]


def test_a_row_does_not_depend_on_its_neighbours_settings(engine):
    prompt = engine.encode(OPENING)
    rows = write(engine, prompt).rows
    others = [DRAWN[0], replace(DRAWN[1], temperature=2.5), replace(DRAWN[2], max_new_tokens=25)]
    engine.forget()
    changed = write(engine, prompt, others).rows
    assert changed[0].output_ids == rows[0].output_ids
    assert changed[1].output_ids != rows[1].output_ids


def test_the_prompt_and_the_kept_ids_decode_to_the_text(engine):
    prompt = engine.encode(OPENING)
    for row in write(engine, prompt).rows:
        assert engine.decode(prompt + row.kept_ids) == OPENING + row.text
        assert not row.text.endswith("\ufffd")


def best_of(n):
    return [replace(s, best_of=n, max_new_tokens=24) for s in DRAWN]


def test_a_candidate_is_the_likeliest_of_its_texts_that_end(engine):
    prompt = engine.encode(OPENING)
    generation = write(engine, prompt, best_of(4))
    alone = write(engine, prompt, best_of(1)).rows
    for row, texts, first in zip(generation.rows, generation.texts, alone, strict=True):
        assert len({text.output_ids for text in texts}) > 1
        assert texts[0].output_ids == first.output_ids
        ended = [text for text in texts if text.finish_reason != "length"] or texts
        means = [sum(text.logprobs[: text.kept]) / text.kept for text in ended]
        assert row is ended[means.index(max(means))]
        assert (row.seed, row.settings.best_of) == (first.seed, 4)


def test_until_all_of_a_candidates_texts_are_written_the_first_is_shown_and_is_what_cancelling_keeps(engine):
    lengths = [replace(s, min_new_tokens=1, max_new_tokens=n) for s, n in zip(best_of(4), (8, 16, 24), strict=True)]
    generation = engine.generate(engine.encode(OPENING), lengths, SEEDS)
    for _ in range(8):
        generation.step()
    shown, texts = generation.rows, generation.texts
    complete = [all(text.finish_reason for text in of_one) for of_one in texts]
    assert complete[0]
    assert not all(complete)
    generation.cancel()
    assert generation.done
    for row, of_one, before, whole in zip(generation.rows, texts, shown, complete, strict=True):
        assert row.text == before.text.rstrip("\ufffd")  # half a character, which is never kept
        if not whole:
            assert before.finish_reason is None
            assert (row.finish_reason, row.output_ids) == ("cancelled", of_one[0].output_ids)


def test_cancel_ends_every_row_where_it_is(engine):
    generation = engine.generate(engine.encode(OPENING), DRAWN, SEEDS)
    for _ in range(5):
        generation.step()
    generation.cancel()
    assert generation.done
    for row in generation.rows:
        assert row.finish_reason in ("cancelled", "eos")
        assert len(row.output_ids) <= 5
    before = generation.rows
    generation.step()
    assert generation.rows == before


def test_settings_and_seeds_are_told_apart(engine):
    prompt = engine.encode(OPENING)
    rows = write(engine, prompt, [DRAWN[0]] * 3, (1, 1, 2)).rows
    assert rows[0].output_ids == rows[1].output_ids != rows[2].output_ids


@pytest.fixture(scope="module")
def sliding(tmp_path_factory):
    """An engine whose model looks back at most 32 tokens."""
    folder = save_tiny_model(tmp_path_factory.mktemp("sliding"))
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "max_position_embeddings": CONTEXT}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "sliding_window": 32}
    ids = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    MistralForCausalLM(MistralConfig(vocab_size=VOCABULARY, **sizes, **heads, **ids)).save_pretrained(folder)
    return load(str(folder))


def test_a_model_with_a_sliding_window_goes_on_beyond_it(sliding):
    prompt = sliding.encode(OPENING)
    for turn in range(4):
        rows = write(sliding, prompt).rows
        kept = [row.output_ids for row in rows]
        sliding.forget()
        assert [row.output_ids for row in write(sliding, prompt).rows] == kept
        prompt += rows[turn % 3].kept_ids
    assert len(prompt) > 100


def test_rows_share_one_reading_of_the_prompt_and_are_left_alone_once_they_are_finished(engine, monkeypatch):
    seen = []
    embedded = engine.decoder._embedded
    monkeypatch.setattr(engine.decoder, "_embedded", lambda ids, *rest: seen.append(len(ids)) or embedded(ids, *rest))
    prompt = engine.encode(OPENING)
    drawn = [replace(s, min_new_tokens=1, max_new_tokens=n) for s, n in zip(DRAWN, (4, 8, 12), strict=True)]
    lengths = [len(row.output_ids) for row in write(engine, prompt, drawn).rows]
    assert len(set(lengths)) == 3
    assert seen == [len(prompt) - 1, 1] + [sum(length > n for length in lengths) for n in range(1, max(lengths))]


def test_what_looks_like_a_special_token_in_an_opening_is_only_text(engine):
    opening = "She wrote </s> on the wall, and then </s>"
    ids = engine.encode(opening)
    assert engine.decode(ids) == opening
    assert ids.count(0) == (1 if ids[0] == 0 else 0)


class _Scripted:
    """Scores that leave one possible token at each position: what a row must do is known."""

    device, several = torch.device("cpu"), False

    def __init__(self, script):
        self.script = iter(script)

    def begin(self, prompts, rows, room, stem, stop):
        return self.advance([0]), [0]

    def advance(self, tokens, draws=None, rows=None):
        scores = torch.full((1, VOCABULARY), -torch.inf)
        scores[:, next(self.script)] = 0
        return scores


def scripted(engine, text, monkeypatch, eos=False, **settings):
    script = [*engine.tokenizer(text, add_special_tokens=False)["input_ids"], *([0] if eos else [])]
    monkeypatch.setattr(engine, "decoder", _Scripted(script))
    s = replace(SamplerSettings(), **{"min_new_tokens": 3, "max_new_tokens": len(script), **settings})
    return write(engine, engine.encode(OPENING), [s], [1]).rows[0]


def test_a_row_stops_at_the_end_of_a_sentence_once_it_is_long_enough(engines, monkeypatch):
    row = scripted(engines["gpt2"], ' It rained. "Home," said the hare! Nobody answered him.', monkeypatch)
    assert row.text == " It rained."
    assert row.finish_reason == "sentence"
    assert row.kept == len(row.output_ids) - 1


def test_a_sentence_that_comes_too_early_does_not_stop_a_row(engines, monkeypatch):
    text = ' It rained. "Home!" said the hare. Nobody answered him.'
    row = scripted(engines["gpt2"], text, monkeypatch, min_new_tokens=12)
    assert row.text == ' It rained. "Home!" said the hare.'
    assert row.finish_reason == "sentence"


def test_a_row_stops_at_its_length(engines, monkeypatch):
    row = scripted(engines["gpt2"], " It rained and rained and rained", monkeypatch, max_new_tokens=5)
    assert row.finish_reason == "length"
    assert row.kept == len(row.output_ids) == 5


def test_a_row_stops_at_the_end_of_text_and_does_not_show_it(engines, monkeypatch):
    row = scripted(engines["gpt2"], " It rained.", monkeypatch, eos=True)
    assert row.text == " It rained."
    assert row.finish_reason == "eos"
    assert row.output_ids[-1] == 0
    assert row.kept == len(row.output_ids) - 1


def test_a_row_does_not_end_before_it_has_begun(engine, monkeypatch):
    """However sure a model is that the text is over."""
    (end,) = engine.eos_ids
    decoder = engine.decoder
    begin, advance = decoder.begin, decoder.advance

    def sure(scores):
        scores = scores.clone()
        scores[:, end] += 1000
        return scores

    def begin_sure(*how):
        scores, cached = begin(*how)
        return sure(scores), cached

    monkeypatch.setattr(decoder, "begin", begin_sure)
    monkeypatch.setattr(decoder, "advance", lambda tokens, _=None, rows=None: sure(advance(tokens, None, rows)))
    for row in write(engine, engine.encode(OPENING)).rows:
        assert row.output_ids[0] != end == row.output_ids[1]
        assert row.finish_reason == "eos"
        assert row.logprobs[0] < -900  # which is what the model said of it


def test_a_row_ends_where_a_chat_model_goes_on_with_the_persons_words(engines, monkeypatch):
    engine = engines["gpt2"]
    monkeypatch.setattr(engine, "preamble", replace(engine.preamble, turn="\n<human>:"))
    row = scripted(engine, " It rained\n<human>: And then?", monkeypatch)
    assert (row.text, row.finish_reason) == (" It rained", "eos")
    assert row.kept < len(row.output_ids)


def test_half_a_character_is_never_kept(engines, monkeypatch):
    engine = engines["gpt2"]
    whole = len(engine.tokenizer(" so")["input_ids"])
    row = scripted(engine, " so 🦊", monkeypatch, max_new_tokens=whole + 3, min_new_tokens=1)
    assert row.text.rstrip() == " so"
    assert row.kept < len(row.output_ids)


@pytest.mark.parametrize("length", [0, CONTEXT - 55])
def test_a_prompt_without_room_is_refused(engines, length):
    with pytest.raises(ValueError, match=f"not {length}"):
        engines["llama"].generate([5] * length, DRAWN, SEEDS)


def test_a_model_shared_by_two_engines_writes_the_same(engines, tiny_folders):
    prompt = engines["llama"].encode(OPENING)
    again = load(str(tiny_folders["llama"]))
    assert [r.output_ids for r in write(again, prompt).rows] == [
        r.output_ids for r in write(engines["llama"], prompt).rows
    ]
