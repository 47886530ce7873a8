"""The storyteller, and random weights at the shapes of other models: speed does not depend on what weights say."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoModelForCausalLM, BloomConfig, GPTNeoXConfig, LlamaConfig

from fate.paths import storyteller

SHAPES: dict[str, Any] = {
    "storyteller": LlamaConfig.from_pretrained(storyteller()),
    "135m": LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        tie_word_embeddings=True,
    ),
    "bloom-560m": BloomConfig(vocab_size=250880, hidden_size=1024, n_layer=24, n_head=16),
    "neox-2.8b": GPTNeoXConfig(
        vocab_size=50432,
        hidden_size=2560,
        intermediate_size=10240,
        num_hidden_layers=32,
        num_attention_heads=32,
        rotary_pct=1.0,
    ),
}


def model_of(shape: str) -> Any:
    """A transformers model of a shape, in fp32; the same weights each time."""
    if shape == "storyteller":
        return AutoModelForCausalLM.from_pretrained(storyteller(), dtype=torch.float32).eval()
    torch.manual_seed(0)
    config = SHAPES[shape]
    config.max_position_embeddings = 2048
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    model.to_empty(device="cpu").eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 2:
                weight.normal_(std=0.02)
            else:
                weight.fill_(1.0 if name.endswith("weight") else 0.0)
    for module in model.modules():  # buffers that are computed, not loaded
        if hasattr(module, "inv_freq"):
            module.__init__(config)
    model.tie_weights()
    return model


def tensors(model: Any) -> Any:
    """Its weights by the names that they have in a checkpoint."""
    state = model.state_dict()
    state["embed_out.weight"] = state["lm_head.weight"]
    return state.get
