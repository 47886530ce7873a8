import json
import shutil

import pytest
import torch

from fate.engine import EngineError, memory
from fate.engine.hub import weights
from tests.tiny_models import CONTEXT, FAMILIES, tiny_model


def size_of(folder):
    files = {file.name for file in folder.iterdir()}
    return memory.size_of(folder, weights(files, lambda index: (folder / index).read_text(), pickle=True))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_size_is_what_the_loaded_model_has(tiny_folders, family):
    size, model = size_of(tiny_folders[family]), tiny_model(family)
    parameters = {parameter.data_ptr(): parameter.numel() for parameter in model.parameters()}
    assert size.parameters == sum(parameters.values())
    assert size.largest == max(parameters.values())
    out = model(input_ids=torch.arange(7).unsqueeze(0), use_cache=True)
    kept = sum(layer.keys.numel() + layer.values.numel() for layer in out.past_key_values.layers)
    assert size.per_token == kept / 7


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_in_parts_have_the_same_size(tiny_folders, tmp_path, family):
    tiny_model(family).save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    assert size_of(tmp_path) == size_of(tiny_folders[family])


def test_pickled_weights_are_about_as_large_as_they_are(tiny_folders, tmp_path):
    shutil.copytree(tiny_folders["llama"], tmp_path / "m")
    (tmp_path / "m" / "model.safetensors").unlink()
    torch.save(tiny_model("llama").state_dict(), tmp_path / "m" / "pytorch_model.bin")
    assert size_of(tmp_path / "m").parameters == pytest.approx(size_of(tiny_folders["llama"]).parameters, rel=0.2)


def test_what_an_old_checkpoint_holds_beside_its_parameters_is_not_counted(tiny_folders, tmp_path):
    from safetensors.torch import load_file, save_file

    shutil.copytree(tiny_folders["gpt2"], tmp_path / "m")
    file = tmp_path / "m" / "model.safetensors"
    tensors = load_file(file)
    tensors["transformer.h.0.attn.bias"] = torch.ones(1, 1, CONTEXT, CONTEXT)
    tensors["lm_head.weight"] = tensors["transformer.wte.weight"].clone()
    save_file(tensors, file, {"format": "pt"})
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    (tmp_path / "m" / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": True}))
    assert size_of(tmp_path / "m") == size_of(tiny_folders["gpt2"])


@pytest.mark.parametrize("data", [b"", b"short", b"\xff" * 5000, b"\x02\0\0\0\0\0\0\0[]", b"\x02\0\0\0\0\0\0\0{x"])
def test_files_that_are_no_weights_are_told(tiny_folders, tmp_path, data):
    shutil.copytree(tiny_folders["llama"], tmp_path / "m")
    (tmp_path / "m" / "model.safetensors").write_bytes(data)
    with pytest.raises(EngineError, match="are damaged"):
        size_of(tmp_path / "m")


def test_smaller_precisions_longer_contexts_and_more_rows_count():
    size = memory.Size(parameters=1_000_000_000, largest=1_000_000, per_token=100_000)
    by_precision = [memory.needed(size, precision, 1000) for precision in ("float32", "float16", "int8")]
    assert by_precision[0] - by_precision[1] == 2_000_000_000
    assert by_precision[1] - by_precision[2] == 1_000_000_000
    assert memory.needed(size, "float16", 2000) - by_precision[1] == 3 * 1000 * 4 * 100_000
    assert memory.needed(size, "float16", 1000, rows=9) - by_precision[1] == 6 * 1000 * 4 * 100_000
    assert memory.needed(size, "float16", 1000, texts=500) - by_precision[1] == 500 * 4 * 100_000


def groups(tmp_path, memberships, **files):
    """What is left, in control groups as Linux shows them."""
    for path, text in files.items():
        (tmp_path / "fs" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "fs" / path).write_text(text)
    (tmp_path / "cgroup").write_text(memberships)
    return list(memory._left_in_groups(tmp_path / "cgroup", tmp_path / "fs"))


def test_the_limit_of_a_container_counts_and_its_old_file_pages_do_not(tmp_path):
    assert groups(
        tmp_path,
        "0::/\n",
        **{"memory.max": "2000\n", "memory.current": "1500\n", "memory.stat": "anon 900\ninactive_file 400\n"},
    ) == [900]


def test_the_limit_of_a_group_above_counts(tmp_path):
    above = {"a/memory.max": "500", "a/memory.current": "100", "a/memory.stat": ""}
    own = {"a/b/memory.max": "max", "a/b/memory.current": "50", "a/b/memory.stat": ""}
    assert groups(tmp_path, "0::/a/b\n", **above, **own) == [400]


def test_the_limit_of_a_container_of_the_first_version_counts(tmp_path):
    files = {
        "memory/memory.limit_in_bytes": "1000",
        "memory/memory.usage_in_bytes": "700",
        "memory/memory.stat": "inactive_file 1\ntotal_inactive_file 100",
    }
    assert groups(tmp_path, "5:cpu:/x\n4:memory:/docker/abc\n0::/\n", **files) == [400]


def test_what_is_free_is_less_than_the_machine_has():
    import psutil

    assert 0 < memory.free() < psutil.virtual_memory().total
