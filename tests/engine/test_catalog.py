import pytest
from transformers import AutoConfig, AutoModelForCausalLM

from fate.engine import catalog, memory

TYPES = {
    "openai-community/gpt2": "gpt2",
    "HuggingFaceTB/SmolLM2": "llama",
    "EleutherAI/pythia": "gpt_neox",
    "bigscience/bloom": "bloom",
    "Qwen/Qwen3": "qwen3",
    "togethercomputer/RedPajama-INCITE": "gpt_neox",
}


@pytest.mark.parametrize("model", catalog.KNOWN, ids=lambda model: model.name)
def test_what_is_recommended_is_of_an_architecture_that_transformers_has(model):
    (model_type,) = (found for begins, found in TYPES.items() if model.name.startswith(begins))
    assert type(AutoConfig.for_model(model_type)) in AutoModelForCausalLM._model_mapping
    assert model.size.per_token % 128 == 0  # keys and values, of heads of at least 64 numbers


def test_recommended_models_are_in_the_order_of_their_size():
    sizes = [model.size.parameters for model in catalog.KNOWN]
    assert sizes == sorted(sizes)
    assert len({model.name for model in catalog.KNOWN}) == len(sizes)


def test_the_embedded_model_is_described_by_its_files():
    listed = catalog.embedded()
    assert listed.name == "Llama-Fate"
    assert listed.size.parameters < memory.SMALL
    assert listed.needs("float32") < 10**9
