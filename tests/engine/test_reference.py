"""Transformers' own forward pass, and what is kept of a story between two readings."""

from random import Random

import pytest
import torch
from transformers import Lfm2Config, Lfm2ForCausalLM, MistralConfig, MistralForCausalLM

from fate.core.errors import StoppedError
from fate.engine.reference import TransformersDecoder
from tests.tiny_models import CONTEXT, VOCABULARY, tiny_model

SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT,
}


def model(kind):
    torch.manual_seed(0)
    match kind:
        case "plain":
            return tiny_model("llama")
        case "sliding window":
            return MistralForCausalLM(MistralConfig(sliding_window=48, **SIZES)).eval()
        case "convolutions":  # whose state cannot go back
            return Lfm2ForCausalLM(Lfm2Config(layer_types=["conv", "full_attention"], **SIZES)).eval()


@pytest.fixture(scope="module", params=["plain", "sliding window", "convolutions"])
def decoder(request):
    return TransformersDecoder(model(request.param))


def scores(decoder, prompt, rng):
    begun, _ = decoder.begin([prompt], 3, 8)
    tokens = [[rng.randrange(VOCABULARY) for _ in range(3)] for _ in range(4)]
    return torch.cat([begun, *map(decoder.advance, tokens)])


def text(rng, length):
    return tuple(rng.randrange(1, VOCABULARY) for _ in range(length))


def test_scores_are_those_of_the_whole_text_read_at_once(decoder):
    rng = Random(1)
    prompt = text(rng, 200)
    for length in (1, 63, 64, 65, 130, 200):
        begun, _ = decoder.begin([prompt[:length]], 2, 8)
        after = decoder.advance([7, 9])
        for row, token in enumerate((7, 9)):
            with torch.inference_mode():
                whole = decoder.model(torch.tensor([[*prompt[:length], token]])).logits[0]
            torch.testing.assert_close(begun[0], whole[-2], rtol=0, atol=1e-4)
            torch.testing.assert_close(after[row], whole[-1], rtol=0, atol=1e-4)


@pytest.mark.parametrize("seed", range(6))
def test_scores_are_the_same_to_the_last_bit_whatever_was_read_before(decoder, seed):
    rng = Random(seed)
    story = text(rng, rng.randrange(1, 150))
    for _ in range(6):
        story = story[: rng.randrange(1, len(story) + 1)] + text(rng, rng.randrange(1, 90))
        after_others = scores(decoder, story, Random(seed))
        decoder.forget()
        assert torch.equal(scores(decoder, story, Random(seed)), after_others)
        decoder.begin([story[:-1] + text(rng, 1)], 3, 8)
        decoder.advance([1, 2, 3])


def test_what_was_read_is_not_read_again():
    decoder, rng = TransformersDecoder(model("plain")), Random(3)
    story = text(rng, 200)
    assert decoder.begin([story], 3, 8)[1] == [0]
    assert decoder.begin([story + text(rng, 50)], 3, 8)[1] == [192]
    assert decoder.begin([story[:150]], 3, 8)[1] == [128]
    assert decoder.begin([text(rng, 150)], 3, 8)[1] == [0]


def test_reading_stops_between_blocks_and_goes_on_where_it_stopped():
    decoder, rng = TransformersDecoder(model("plain")), Random(3)
    story, asked = text(rng, 200), iter((False, False, True))
    with pytest.raises(StoppedError):
        decoder.begin([story], 3, 8, stop=lambda: next(asked))
    assert decoder.begin([story], 3, 8)[1] == [128]
    with pytest.raises(StoppedError):
        decoder.begin([story], 3, 8, stop=lambda: True)


def test_some_rows_go_on_without_the_others(decoder):
    prompt = text(Random(4), 90)
    decoder.begin([prompt], 3, 8)
    decoder.advance([1, 2, 3])
    expected = decoder.advance([4, 5, 6])
    decoder.begin([prompt], 3, 8)
    decoder.advance([1, 2, 3])
    decoder.keep(slice(1, 3))
    decoder.keep(slice(1, 2))
    torch.testing.assert_close(decoder.advance([6]), expected[2:], rtol=0, atol=1e-5)


def test_rows_that_go_on_without_those_that_are_complete_are_the_same_to_the_last_bit(decoder):
    prompt = text(Random(4), 90)
    decoder.begin([prompt], 3, 8)
    every = [decoder.advance([t, t + 1, t + 2]) for t in range(3)]
    decoder.begin([prompt], 3, 8)
    for t, rows in enumerate([(0, 1, 2), (0, 2), (2,)]):
        assert torch.equal(decoder.advance([t + row for row in rows], None, rows), every[t][list(rows)])


def test_a_reading_that_failed_leaves_nothing_behind(decoder, monkeypatch):
    prompt = text(Random(5), 150)
    expected = scores(decoder, prompt, Random(0))
    decoder.forget()
    last = decoder.model.get_output_embeddings()
    failing = last.register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(MemoryError))
    with pytest.raises(MemoryError):
        decoder.begin([prompt], 3, 8)
    failing.remove()
    assert torch.equal(scores(decoder, prompt, Random(0)), expected)
