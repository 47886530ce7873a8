import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
import transformers

from fate.engine import EngineError, load
from tests.tiny_models import CONTEXT, FAMILIES, VOCABULARY, tiny_model


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


def test_a_hub_id_out_of_reach_is_told():
    assert "nobody/nothing is neither a folder here nor within reach" in sentence("nobody/nothing")


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


def test_models_that_do_not_keep_what_they_read_are_told(tiny_folders, tmp_path):
    ids = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    gpt = transformers.OpenAIGPTConfig(vocab_size=VOCABULARY, n_positions=256, n_embd=32, n_layer=2, n_head=4, **ids)
    gpt_folder = other_model(tmp_path / "gpt", tiny_folders, transformers.OpenAIGPTLMHeadModel(gpt))
    assert "other scores when it goes on" in sentence(gpt_folder)
    mamba = transformers.MambaConfig(
        vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, state_size=4, max_position_embeddings=256, **ids
    )
    mamba_folder = other_model(tmp_path / "mamba", tiny_folders, transformers.MambaForCausalLM(mamba))
    assert "cannot go on from a text" in sentence(mamba_folder)


def test_weights_that_are_no_numbers_are_told(tiny_folders, tmp_path):
    model = tiny_model("llama")
    torch.nn.init.constant_(model.model.layers[0].mlp.up_proj.weight, torch.nan)
    assert "or none at all" in sentence(other_model(tmp_path / "m", tiny_folders, model))


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
