"""The lean forward against transformers' own, on random models of every family."""

import json
from contextlib import suppress
from random import Random

import pytest
import torch
from transformers import AutoModelForCausalLM, BloomConfig, GPT2Config, GPTNeoXConfig, LlamaConfig

from fate.core.errors import StoppedError
from fate.core.sampling import SamplerSettings, SettingsRanges
from fate.engine import Engine, load
from fate.engine.checkpoint import tensors
from fate.engine.families import UnknownDecoderError, describe
from fate.engine.kernels import products
from fate.engine.lean import LeanDecoder
from fate.paths import storyteller

VOCABULARY, CONTEXT = 300, 700
SMALL = {"vocab_size": VOCABULARY, "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
CONFIGS = {
    "llama": LlamaConfig(**SMALL, intermediate_size=96, num_key_value_heads=2),
    "llama with biases, wide heads, one key for all": LlamaConfig(
        **SMALL,
        intermediate_size=96,
        num_key_value_heads=1,
        head_dim=32,
        attention_bias=True,
        mlp_bias=True,
        tie_word_embeddings=True,
    ),
    "llama 3.1": LlamaConfig(**SMALL, intermediate_size=96, rope_parameters=LLAMA3),
    "llama, linear positions": LlamaConfig(
        **SMALL, intermediate_size=96, rope_parameters={"rope_type": "linear", "rope_theta": 500.0, "factor": 4.0}
    ),
    "gpt_neox": GPTNeoXConfig(**SMALL, intermediate_size=128),
    "gpt_neox, one residual after the other": GPTNeoXConfig(
        **SMALL, intermediate_size=128, use_parallel_residual=False, rotary_pct=1.0
    ),
    "bloom": BloomConfig(vocab_size=VOCABULARY, hidden_size=64, n_layer=3, n_head=4),
    "bloom, six heads": BloomConfig(vocab_size=VOCABULARY, hidden_size=96, n_layer=2, n_head=6),
    "gpt2": GPT2Config(vocab_size=VOCABULARY, n_embd=64, n_layer=3, n_head=4, n_positions=CONTEXT),
}


@pytest.fixture(scope="module", params=CONFIGS)
def folder(request, tmp_path_factory):
    """A model folder with random weights, norms and biases among them."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIGS[request.param])
    for weight in model.parameters():
        weight.data.add_(0.1 * torch.randn_like(weight))
    path = tmp_path_factory.mktemp("lean")
    model.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def oracle(folder):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    def scores(texts):
        with torch.inference_mode():
            return torch.stack([model(input_ids=torch.tensor([text])).logits[0, -1] for text in texts])

    return scores


def lean(folder, precision="float32"):
    config = json.loads((folder / "config.json").read_text())
    return LeanDecoder(describe(config), tensors([folder / "model.safetensors"]), precision, context=CONTEXT)


def tokens(rng, n):
    return tuple(rng.randrange(1, VOCABULARY) for _ in range(n))


def advance(decoder, rows, rng):
    """One more random token in each row."""
    new = tokens(rng, len(rows))
    scores = decoder.advance(new)
    return scores, [(*row, token) for row, token in zip(rows, new, strict=True)]


def play(decoder, oracle, near):
    """Everything that a story does to a decoder; every score is compared."""
    rng = Random(1)
    prompt = tokens(rng, 540)  # compiled code takes a text in pieces of 256

    def same(scores, texts):
        expected = oracle(texts)
        torch.testing.assert_close(scores, expected, rtol=0, atol=near * float(expected.abs().max()))

    scores, cached = decoder.begin([prompt], 3, 50)
    same(scores, [prompt])
    assert cached == [0]
    rows = [prompt] * 3
    for _ in range(6):
        scores, rows = advance(decoder, rows, rng)
        same(scores, rows)

    written_ahead = [rows[0], rows[1][:-2], rows[2][:-4]]  # candidates end where their sentences do
    scores, cached = decoder.begin(written_ahead, 3, 50)
    same(scores, written_ahead)
    assert cached == [len(text) - 1 for text in written_ahead]
    rows = [text for text in written_ahead for _ in range(3)]
    for _ in range(4):
        scores, rows = advance(decoder, rows, rng)
        same(scores, rows)
    decoder.keep(slice(3, 6))
    scores, rows = advance(decoder, rows[3:6], rng)
    same(scores, rows)

    chosen = rows[1]
    scores, cached = decoder.begin([chosen], 3, 50)
    same(scores, [chosen])
    assert cached == [len(chosen) - 1]
    again, _ = decoder.begin([chosen], 2, 50)  # a reroll
    same(again, [chosen])
    by_hand = chosen + tokens(rng, 70)
    scores, cached = decoder.begin([by_hand], 3, 50)
    same(scores, [by_hand])
    assert cached == [len(chosen)]
    undone = by_hand[:257]  # with its last token apart, exactly one piece
    scores, cached = decoder.begin([undone], 3, 50)
    same(scores, [undone])
    assert cached == [len(undone) - 1]
    cut = by_hand[60:]  # the window has lost the story's beginning
    scores, cached = decoder.begin([cut], 3, 50)
    same(scores, [cut])
    assert cached == [0]
    decoder.forget()
    unread = [(*undone, *tokens(rng, 5)), (*undone, *tokens(rng, 9))]
    scores, cached = decoder.begin(unread, 2, 20)
    same(scores, unread)
    one = tokens(rng, 1)
    scores, _ = decoder.begin([one], 1, 50)
    same(scores, [one])


def test_scores_are_those_of_transformers(folder, oracle, whose):
    play(lean(folder), oracle, near=1e-5)


@pytest.mark.parametrize(("precision", "near"), [("float16", 5e-3), ("int8", 0.2)])
def test_narrow_weights_change_scores_a_little(folder, oracle, narrow, precision, near):
    play(lean(folder, precision), oracle, near)


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_a_row_is_the_same_to_the_last_bit_whatever_stands_beside_it(folder, narrow, precision):
    rng = Random(2)
    prompt = tokens(rng, 250)
    candidates = [prompt + tokens(rng, n) for n in (7, 12, 9)]
    new = [tokens(rng, 5) for _ in range(9)]

    def after(decoder, prompts, written):
        begun, _ = decoder.begin(prompts, 3, 50, len(prompt) - 1)
        steps = [decoder.advance([row[t] for row in written]) for t in range(5)]
        return begun, torch.stack(steps, 1)

    def prepared():
        decoder = lean(folder, precision)
        decoder.begin([prompt], 3, 50)
        longest = max(map(len, candidates))
        for t in range(len(prompt), longest):
            decoder.advance([candidate[min(t, len(candidate) - 1)] for candidate in candidates])
        return decoder

    begun, together = after(prepared(), candidates, new)
    for i, candidate in enumerate(candidates):
        alone_begun, alone = after(prepared(), [candidate], new[3 * i : 3 * i + 3])
        assert torch.equal(begun[i], alone_begun[0])
        assert torch.equal(together[3 * i : 3 * i + 3], alone)


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_rows_that_go_on_without_those_that_are_complete_are_the_same_to_the_last_bit(folder, narrow, precision):
    rng = Random(4)
    prompts = [tokens(rng, 40) for _ in range(2)]
    new = [tokens(rng, 8) for _ in range(6)]
    going = [range(6), range(6), (0, 1, 3, 5), (1, 3, 5), (3, 5), (5,), (5,), (5,)]

    def after(going):
        decoder = lean(folder, precision)
        decoder.begin(prompts, 3, 20)
        return [decoder.advance([new[row][t] for row in rows], None, rows) for t, rows in enumerate(going)], decoder

    all_scores, every = after([range(6)] * 8)
    some_scores, some = after(going)
    for rows, ours, theirs in zip(going, some_scores, all_scores, strict=True):
        assert torch.equal(ours, theirs[list(rows)])
    chosen = prompts[0] + new[1][:4]  # what it has read of it stays read
    (ours, read), (theirs, _) = (decoder.begin([chosen], 1, 9) for decoder in (some, every))
    assert read == [len(chosen) - 1]
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_a_text_by_hand_is_read_to_the_same_bits_whether_or_not_others_were_written_ahead(folder, narrow, precision):
    rng = Random(3)
    prompt = tokens(rng, 240)
    written = [tokens(rng, 3) for _ in range(20)]
    candidates = [prompt + tuple(step[row] for step in written) for row in range(3)]
    by_hand = prompt + tokens(rng, 60)

    def scores(ahead, before):
        decoder = lean(folder, precision)
        decoder.begin([prompt], 3, 50)
        for step in written:
            decoder.advance(step)
        if before:  # the trunk is longer than what the others share
            decoder.begin([candidates[1]], 3, 50)
        if ahead:
            saved = decoder.save(candidates[0], len(prompt) - 1)
            decoder.begin(candidates, 3, 50, len(prompt) - 1)
            decoder.advance([5] * 9)
            decoder.restore(saved)
        text = candidates[1] + by_hand if before else by_hand
        begun, cached = decoder.begin([text], 3, 50)
        assert cached[0] >= len(candidates[1] if before else prompt) - 1
        return torch.cat([begun, *(decoder.advance([5, 6, 7]) for _ in range(3))])

    for before in (False, True):
        assert torch.equal(scores(True, before), scores(False, before))


@pytest.fixture
def short_parts(monkeypatch):
    monkeypatch.setattr("fate.engine.lean._READ", 16)


@pytest.mark.parametrize("asked", [1, 5, 9, 16, 23, 40])  # the last but two while the end of the prompt is read
@pytest.mark.parametrize("again", ["the same", "a shorter stem", "another beginning", "another middle"])
def test_reading_that_was_stopped_goes_on_where_it_stopped_and_changes_nothing(folder, short_parts, asked, again):
    rng, decoder, read = Random(6), lean(folder), []
    forward = decoder._forward
    decoder._forward = lambda part, *how: read.append(len(part)) or forward(part, *how)
    prompt, stem = tokens(rng, 120), 100
    begun_before = prompt[:10] + tokens(rng, 60)
    text = {
        "another beginning": prompt[:9] + tokens(rng, 17) + prompt[26:],
        "another middle": prompt[:45] + tokens(rng, 16) + prompt[61:],
    }.get(again, prompt)

    def scores(stopped):
        decoder.forget()
        decoder.begin([begun_before], 3, 20)
        if stopped:
            left = iter(range(asked))
            saved = decoder.save(prompt, stem)
            with suppress(StoppedError):
                decoder.begin([prompt], 3, 20, stem, lambda: next(left, None) is None)
            decoder.restore(saved)
        read.clear()
        begun, _ = decoder.begin([text], 3, 20, 90 if again == "a shorter stem" else stem)
        return torch.cat([begun, decoder.advance([5, 6, 7])]), sum(count for count in read if count > 3)

    (expected, whole), (found, rest) = scores(False), scores(True)
    assert torch.equal(found, expected)
    ahead = min(16 * (asked // decoder._decoder.layers), stem - 10)
    known = {"the same": ahead, "a shorter stem": min(ahead, 80), "another beginning": 0, "another middle": 32}[again]
    assert whole - rest == min(ahead, known)


def test_a_decoder_that_could_not_be_put_back_is_put_back_the_next_time(engines, monkeypatch):
    engine, room = engines["llama"], SettingsRanges(fixed=SamplerSettings(min_new_tokens=4, max_new_tokens=16))
    prompt, drawn = engine.encode("The old man looked at the sea. " * 6), (room.draw(Random(0), 3), (1, 2, 3))

    def first(failing):
        engine.forget()
        engine.generate_each([prompt], *([each] for each in drawn), stem=len(prompt) - 3, stop=lambda: False)
        if failing:
            with monkeypatch.context() as patched:
                patched.setattr(engine.decoder, "restore", raising)
                with pytest.raises(MemoryError):
                    engine.generate(prompt, *drawn, stem=len(prompt) - 9)
        generation = engine.generate(prompt, *drawn, stem=len(prompt) - 9)
        generation.step()
        return generation.cached_tokens, [row.logprobs for row in generation.rows]

    def raising(before):
        raise MemoryError

    assert first(failing=True) == first(failing=False)


def test_rows_written_ahead_are_what_they_would_have_been():
    engine = load(str(storyteller()))
    rng = Random(3)

    def drawn():
        return SettingsRanges().draw(rng, 3), [rng.randrange(2**62) for _ in range(3)]

    def first(engine):
        generation = engine.generate(prompt, *begun)
        while not generation.done:
            generation.step()
        return generation.rows

    prompt, begun = engine.encode("Anna kept a lantern in her pocket. One night it went out."), drawn()
    prompts = [prompt + row.kept_ids for row in first(engine)]
    settings, seeds = zip(*[drawn() for _ in prompts], strict=True)
    batch = engine.generate_each(prompts, settings, seeds)
    while not batch.done:
        batch.step()
    for i, ahead in enumerate(batch.generations):
        engine.decoder.forget()
        first(engine)
        alone = engine.generate(prompts[i], settings[i], seeds[i])
        while not alone.done:
            alone.step()
        assert [row.output_ids for row in ahead.rows] == [row.output_ids for row in alone.rows]
        if products("float32") != "torch":
            assert [row.logprobs for row in ahead.rows] == [row.logprobs for row in alone.rows]


def test_one_generation_goes_on_where_the_others_beside_it_are_let_go(engines):
    engine: Engine = engines["llama"]
    rng = Random(4)
    prompts = [engine.encode(text) for text in ("The old man looked at the sea.", "The old man ran.")]
    settings = [SettingsRanges().draw(rng, 3) for _ in prompts]
    seeds = [(1, 2, 3), (4, 5, 6)]

    def whole():
        batch = engine.generate_each(prompts, settings, seeds)
        while not batch.done:
            batch.step()
        return batch.generations[1].rows

    expected = whole()
    batch = engine.generate_each(prompts, settings, seeds)
    for _ in range(4):
        batch.step()
    kept = batch.generations[1]
    assert kept.goes_on
    while not kept.done:
        kept.step()
    assert [row.output_ids for row in kept.rows] == [row.output_ids for row in expected]
    assert batch.generations == [kept]


def test_rows_that_the_engine_has_left_do_not_go_on(engines):
    engine = engines["llama"]
    prompt, settings = engine.encode("The old man looked at the sea."), SettingsRanges().draw(Random(0), 3)
    left = engine.generate(prompt, settings, (1, 2, 3))
    left.step()
    engine.generate(prompt, settings, (4, 5, 6))
    assert not left.goes_on
    with pytest.raises(RuntimeError, match="something else"):
        left.step()


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "mamba"},
        {**CONFIGS["llama"].to_dict(), "quantization_config": {"bits": 4}},
        {**CONFIGS["llama"].to_dict(), "rope_parameters": {"rope_type": "yarn", "factor": 4.0}},
        {**CONFIGS["llama"].to_dict(), "hidden_act": "mish"},
        {**CONFIGS["bloom"].to_dict(), "apply_residual_connection_post_layernorm": True},
        {**CONFIGS["gpt2"].to_dict(), "scale_attn_by_inverse_layer_idx": True},
    ],
)
def test_what_is_not_described_is_refused_and_not_guessed_at(config):
    with pytest.raises(UnknownDecoderError):
        describe(config)


def test_a_missing_weight_is_named(folder):
    config = json.loads((folder / "config.json").read_text())
    with pytest.raises(UnknownDecoderError, match="no weight"):
        LeanDecoder(describe(config), lambda name: None)


MISSHAPEN = {
    "a norm": ("model.layers.1.input_layernorm.weight", lambda weight: weight[:-1]),
    "the last norm": ("model.norm.weight", lambda weight: weight[:-1]),
    "an inner layer": ("model.layers.1.mlp.down_proj.weight", lambda weight: torch.cat((weight, weight), 1)),
    "a bias": ("model.layers.0.self_attn.k_proj.bias", lambda bias: bias[:-1]),
    "one of three biases": ("model.layers.0.self_attn.v_proj.bias", lambda bias: None),
}


@pytest.mark.parametrize("what", MISSHAPEN)
def test_weights_that_do_not_fit_one_another_are_refused(what):
    torch.manual_seed(0)
    config = CONFIGS["llama with biases, wide heads, one key for all"]
    weights = dict(AutoModelForCausalLM.from_config(config).state_dict())
    name, change = MISSHAPEN[what]
    weights[name] = change(weights[name])
    with pytest.raises(UnknownDecoderError):
        LeanDecoder(describe(config.to_dict()), weights.get, context=CONTEXT)


def test_heads_that_do_not_divide_among_keys_are_refused():
    config = CONFIGS["llama"].to_dict() | {"num_key_value_heads": 3}
    with pytest.raises(UnknownDecoderError, match="4 heads over 3"):
        describe(config)


def test_an_inner_layer_of_any_width_is_computed(tmp_path):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(LlamaConfig(**SMALL, intermediate_size=72)).eval()
    model.save_pretrained(tmp_path)
    decoder, prompt = lean(tmp_path), tokens(Random(0), 40)
    assert decoder._native is None  # its products are native, but not the pass
    scores, _ = decoder.begin([prompt], 3, 20)
    with torch.inference_mode():
        expected = model(input_ids=torch.tensor([prompt])).logits[0, -1]
    torch.testing.assert_close(scores[0], expected, rtol=0, atol=1e-5)


def test_more_tokens_than_there_is_room_for_are_refused(folder):
    decoder = lean(folder)
    decoder.begin([tokens(Random(0), 30)], 2, 16)
    for _ in range(15):
        decoder.advance([1, 2])
    with pytest.raises(IndexError):
        decoder.advance([1, 2])
