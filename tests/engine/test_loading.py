import inspect
import json
import os
import re
import shutil
import subprocess
import sys

import pytest
import torch
import transformers

from fate.core.sampling import SamplerSettings
from fate.engine import EngineError, load, memory, native
from fate.engine.hub import weights
from fate.engine.kernels import products
from fate.engine.loading import executed
from tests.tiny_models import CONTEXT, FAMILIES, VOCABULARY, tiny_model

PROMPT = (5, 17, 300, 41, 8, 99, 230)


@pytest.mark.parametrize("family", FAMILIES)
def test_any_causal_lm_folder_loads(engines, family):
    engine = engines[family]
    assert engine.context == CONTEXT
    assert engine.info.name == family
    assert engine.info.precision == "float32"
    assert len(engine.info.weights_sha256) == len(engine.info.id) == 64


def test_a_hub_id_loads_from_the_local_cache(tiny_folders, tmp_path):
    snapshot = tmp_path / "models--someone--tiny" / "snapshots" / "abc123"
    shutil.copytree(tiny_folders["gpt2"], snapshot)
    refs = tmp_path / "models--someone--tiny" / "refs"
    refs.mkdir()
    (refs / "main").write_text("abc123")
    code = "from fate.engine import load; i = load('someone/tiny').info; print(i.name, i.weights_sha256)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["someone/tiny", load(str(tiny_folders["gpt2"])).info.weights_sha256], done.stderr


@pytest.mark.parametrize("parts", ["1GB", "20KB"])
@pytest.mark.parametrize("stored", [torch.float32, torch.float16, torch.bfloat16])
def test_a_checkpoint_of_any_precision_whole_or_in_parts_has_its_weights(tiny_folders, tmp_path, stored, parts):
    folder = copy(tiny_folders["gpt2"], tmp_path / "m")
    (folder / "model.safetensors").unlink()
    model = tiny_model("gpt2").to(stored)
    model.save_pretrained(folder, max_shard_size=parts)
    assert (len(list(folder.glob("*.safetensors"))) > 1) == (parts == "20KB")
    engine = load(str(folder))
    assert engine.info.precision == "float32"
    assert_near(scores(engine), expected(model.float()), 1e-5)


def expected(model):
    """The scores after PROMPT, by transformers' own forward."""
    with torch.inference_mode():
        return model.eval()(torch.tensor([PROMPT])).logits[:, -1]


def scores(engine):
    return engine.decoder.begin([PROMPT], 1, 1)[0]


def assert_near(found, wanted, share):
    assert float((found - wanted).abs().max() / wanted.abs().max()) < share


def test_bfloat16_is_what_it_says(tiny_folders):
    engine = load(str(tiny_folders["llama"]), precision="bfloat16")
    assert engine.info.precision == "bfloat16"
    assert {weight.dtype for weight in engine.decoder.model.parameters()} == {torch.bfloat16}
    assert engine.info.id != load(str(tiny_folders["llama"])).info.id
    assert_near(scores(engine), expected(tiny_model("llama")), 0.05)


@pytest.mark.skipif(products("int8") == "torch", reason="no products with narrow weights")
@pytest.mark.parametrize(("precision", "share"), [("float16", 1e-3), ("int8", 0.1)])
@pytest.mark.parametrize("family", FAMILIES)
def test_narrow_weights_are_in_use_where_they_are_recorded(tiny_folders, family, precision, share, monkeypatch):
    monkeypatch.setattr(memory, "SMALL", 0)
    engine = load(str(tiny_folders[family]), precision=precision)
    assert engine.info.precision == precision
    wanted = expected(tiny_model(family))
    assert_near(scores(engine), wanted, share)
    assert float((scores(engine) - wanted).abs().max() / wanted.abs().max()) > 1e-5


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_a_model_of_another_family_is_in_float32_and_recorded_so(tiny_folders, tmp_path, precision, monkeypatch):
    monkeypatch.setattr(memory, "SMALL", 0)
    config = transformers.MistralConfig(
        vocab_size=VOCABULARY, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, sliding_window=64, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    folder = other_model(tmp_path / "m", tiny_folders, transformers.MistralForCausalLM(config))
    engine = load(str(folder), precision=precision)
    assert engine.info.precision == "float32"
    assert {weight.dtype for weight in engine.decoder.model.parameters()} == {torch.float32}


def test_only_small_models_that_are_fast_write_several_texts_for_a_candidate(tiny_folders, monkeypatch):
    assert load(str(tiny_folders["llama"])).sampler == {"best_of": 6}
    slower = load(str(tiny_folders["llama"]), precision="bfloat16")  # through transformers' forward
    assert slower.sampler == {"best_of": 1}
    monkeypatch.setattr(memory, "SMALL", 0)
    assert load(str(tiny_folders["llama"])).sampler == {"best_of": 1}


def saying(tiny_folders, folder, **sampler):
    """The tiny Llama, whose ``config.json`` says which settings suit it."""
    shutil.copytree(tiny_folders["llama"], folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"fate_sampler": sampler}))
    return str(folder)


def test_several_texts_for_a_candidate_count_in_the_memory_that_a_model_needs(tiny_folders, tmp_path, monkeypatch):
    needed = []
    count = memory.needed
    monkeypatch.setattr(memory, "needed", lambda *how: needed.append(count(*how)) or needed[-1])
    load(saying(tiny_folders, tmp_path / "one", best_of=1))
    monkeypatch.setattr(memory, "free", lambda: needed[0])
    load(saying(tiny_folders, tmp_path / "also one", best_of=1))
    with pytest.raises(EngineError, match="of memory in float32"):
        load(saying(tiny_folders, tmp_path / "many", best_of=64))


def test_where_nothing_is_compiled_fewer_texts_are_written(tiny_folders, tmp_path, monkeypatch):
    monkeypatch.setattr(native, "library", lambda: None)
    assert load(saying(tiny_folders, tmp_path / "m", best_of=32)).sampler == {"best_of": 12}
    assert load(str(tiny_folders["llama"])).sampler == {"best_of": 6}


def test_a_model_says_which_settings_suit_it(tiny_folders, tmp_path, monkeypatch):
    said = {"min_new_tokens": 3, "best_of": 9}
    folder = saying(tiny_folders, tmp_path / "m", **said)
    assert load(folder).sampler == said
    monkeypatch.setattr(memory, "SMALL", 0)
    assert load(folder).sampler == said | {"best_of": 1}


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"best_of": 99}, "best_of must be between 1 and 64, not 99"),
        ({"temperature": 0.5}, "temperature, which is drawn"),
        ({"worst_of": 2}, "worst_of"),
        ([3], "must be a mapping"),
    ],
)
def test_settings_that_cannot_suit_a_model_are_one_sentence(tiny_folders, tmp_path, said, why):
    folder = tmp_path / "m"
    shutil.copytree(tiny_folders["llama"], folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"fate_sampler": said}))
    with pytest.raises(EngineError, match=why):
        load(str(folder))


def test_by_itself_a_large_model_is_in_16_bit_and_a_small_one_in_32():
    small, large = memory.Size(memory.SMALL, 1, 1), memory.Size(memory.SMALL + 1, 1, 1)
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert executed("auto", small, cpu, lean=True) == "float32"
    assert executed("auto", large, cpu, lean=True) == ("float32" if products("float16") == "torch" else "float16")
    assert executed("auto", large, cpu, lean=False) == "float32"
    assert executed("int8", large, cpu, lean=True) == ("float32" if products("int8") == "torch" else "int8")
    assert executed("auto", small, gpu, lean=True) in ("float16", "bfloat16")
    assert executed("float32", large, gpu, lean=True) == "float32"
    with pytest.raises(EngineError, match="int8 is for the CPU"):
        executed("int8", large, gpu, lean=True)


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_a_small_model_is_in_float32_all_the_same_and_that_is_said(tiny_folders, precision):
    told = []
    assert load(str(tiny_folders["llama"]), precision=precision, progress=told.append).info.precision == "float32"
    assert f"not in {precision}: this model is held in float32 here" in told


def test_a_device_that_is_not_here_is_told(tiny_folders):
    missing = "mps" if torch.cuda.is_available() else "cuda"
    assert f"The device {missing} is not here; this machine has" in sentence(tiny_folders["llama"], device=missing)


def test_a_part_of_the_weights_that_is_missing_is_told(tiny_folders, tmp_path):
    folder = copy(tiny_folders["llama"], tmp_path / "m")
    (folder / "model.safetensors").unlink()
    tiny_model("llama").save_pretrained(folder, max_shard_size="20KB")
    next(folder.glob("*.safetensors")).unlink()
    assert "damaged" in sentence(folder)


def test_a_model_that_does_not_fit_is_refused_with_numbers_and_a_smaller_precision(tiny_folders, monkeypatch):
    folder = tiny_folders["llama"]
    size = memory.size_of(folder, weights({"model.safetensors"}, str, pickle=False))
    texts = 9 * 6 * 2 * 56  # tokens: of nine candidates six texts each, with the passage before
    monkeypatch.setattr(memory, "free", lambda: memory.needed(size, "bfloat16", 500, texts=texts))
    said = sentence(folder, context=500)
    assert re.search(
        r"needs 0\.\d GB of memory in float32 and 0\.\d GB are free; --precision bfloat16 needs 0\.", said
    ), said
    assert load(str(folder), context=500, precision="bfloat16").info.precision == "bfloat16"
    monkeypatch.setattr(memory, "free", lambda: 1000)
    assert "0.0 GB are free; close other programs, or choose a smaller model" in sentence(folder)


def test_the_same_folder_has_the_same_fingerprint_and_another_has_not(engines, tiny_folders):
    again = load(str(tiny_folders["llama"])).info
    assert again == engines["llama"].info
    assert again.weights_sha256 != engines["gpt2"].info.weights_sha256


def test_the_context_can_be_made_smaller_not_larger(tiny_folders):
    assert load(str(tiny_folders["llama"]), context=130).context == 130
    assert load(str(tiny_folders["llama"]), context=5000).context == CONTEXT


def test_progress_is_told_in_order(tiny_folders):
    told = []
    load(str(tiny_folders["gpt2"]), progress=told.append)
    needs = told.pop(1)
    assert re.fullmatch(r"the model needs 0\.\d GB of memory, [\d.]+ GB free", needs)
    assert told == ["reading the tokenizer", "reading the weights", "trying it", "taking fingerprints"]


def copy(folder, to):
    shutil.copytree(folder, to)
    return to


def sentence(name, **options):
    with pytest.raises(EngineError) as raised:
        load(str(name), **options)
    said = str(raised.value)
    assert "\n" not in said
    assert said.endswith(".")
    return said


def test_a_missing_folder_is_told(tmp_path):
    assert "There is no folder" in sentence(tmp_path / "nowhere")


def test_a_folder_without_a_model_is_told(tmp_path):
    assert "holds no config.json" in sentence(tmp_path)


def test_a_hub_id_that_is_not_here_is_told():
    assert "nobody/nothing is neither a folder here nor in the local cache" in sentence("nobody/nothing")


def test_damaged_weights_are_told(tiny_folders, tmp_path):
    folder = copy(tiny_folders["llama"], tmp_path / "m")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    assert "damaged" in sentence(folder)


def test_missing_weights_are_told(tiny_folders, tmp_path):
    folder = copy(tiny_folders["llama"], tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    assert "not a complete causal language model" in sentence(folder)


def test_a_model_that_is_no_causal_lm_is_told(tiny_folders, tmp_path):
    folder = copy(tiny_folders["llama"], tmp_path / "m")
    (folder / "config.json").write_text(json.dumps({"model_type": "t5"}))
    assert "not a causal language model" in sentence(folder)


def test_an_unknown_architecture_is_told(tiny_folders, tmp_path):
    folder = copy(tiny_folders["llama"], tmp_path / "m")
    (folder / "config.json").write_text(json.dumps({"model_type": "oracle"}))
    assert "not a causal language model" in sentence(folder)


def test_code_that_comes_with_a_model_is_never_run(tiny_folders, tmp_path):
    folder = copy(tiny_folders["llama"], tmp_path / "m")
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    auto = {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}
    (folder / "config.json").write_text(json.dumps({"model_type": "own", "auto_map": auto}))
    assert "code of its own" in sentence(folder)
    assert not (tmp_path / "ran").exists()


def test_pickled_weights_are_only_read_when_the_reader_says_so(tiny_folders, tmp_path):
    folder = copy(tiny_folders["llama"], tmp_path / "m")
    (folder / "model.safetensors").unlink()
    torch.save(tiny_model("llama").state_dict(), folder / "pytorch_model.bin")
    assert "--allow-pickle" in sentence(folder)
    assert load(str(folder), pickle=True).info.weights_sha256


def test_a_tokenizer_that_is_larger_than_its_model_is_told(tiny_folders, tmp_path):
    folder = copy(tiny_folders["llama"], tmp_path / "m")
    small = tiny_model("llama")
    small.resize_token_embeddings(300)
    small.save_pretrained(folder)
    assert "do not belong together" in sentence(folder)


def other_model(folder, tiny_folders, model):
    copy(tiny_folders["llama"], folder)
    model.eval().save_pretrained(folder)
    return folder


def test_models_that_do_not_keep_what_they_read_are_told(tiny_folders, tmp_path, monkeypatch):
    ids = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    gpt = transformers.OpenAIGPTConfig(vocab_size=VOCABULARY, n_positions=256, n_embd=32, n_layer=2, n_head=4, **ids)
    gpt_folder = other_model(tmp_path / "gpt", tiny_folders, transformers.OpenAIGPTLMHeadModel(gpt))
    assert "other scores when it goes on" in sentence(gpt_folder)

    def fails(*_):
        raise IndexError("no such layer")

    monkeypatch.setattr(transformers.DynamicCache, "reorder_cache", fails)
    assert "cannot go on from a text that it has read (IndexError('no such layer'))" in sentence(gpt_folder)


@pytest.mark.skipif(
    "cache" not in inspect.signature(transformers.MambaForCausalLM.forward).parameters,
    reason="this version of transformers gives it no cache that others have",
)
def test_a_model_that_keeps_a_state_goes_on_from_it(tiny_folders, tmp_path):
    ids = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    mamba = transformers.MambaConfig(
        vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, state_size=4, max_position_embeddings=256, **ids
    )
    model = transformers.MambaForCausalLM(mamba).eval()
    engine = load(str(other_model(tmp_path / "mamba", tiny_folders, model)))
    prompt = engine.encode("The old man looked at the sea.")
    generation = engine.generate(prompt, [SamplerSettings()] * 3, [1, 2, 3])
    while not generation.done:
        generation.step()
    for row in generation.rows:
        with torch.no_grad():
            scores = model(torch.tensor([prompt + row.output_ids])).logits[0].log_softmax(-1)
        whole = [float(scores[len(prompt) - 1 + n, token]) for n, token in enumerate(row.output_ids)]
        assert whole[1:] == pytest.approx(row.logprobs[1:], abs=1e-3)


def test_weights_that_are_no_numbers_are_told(tiny_folders, tmp_path):
    model = tiny_model("llama")
    torch.nn.init.constant_(model.model.layers[0].mlp.up_proj.weight, torch.nan)
    assert "holds what is no number" in sentence(other_model(tmp_path / "m", tiny_folders, model))


def test_a_model_that_reads_too_little_is_told(tiny_folders, tmp_path):
    folder = copy(tiny_folders["llama"], tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 48}))
    assert "reads only 48 tokens" in sentence(folder)


def test_a_folder_without_a_tokenizer_is_told(tiny_folders, tmp_path):
    folder = copy(tiny_folders["llama"], tmp_path / "m")
    for file in folder.glob("tokenizer*"):
        file.unlink()
    assert "could not be loaded" in sentence(folder)
