"""What tells one family of decoders from another: a description of the arithmetic, and where each weight lies.

A config that says anything this file does not know is refused (``UnknownDecoderError``), never guessed at: such
a model runs through transformers' own forward.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch


class UnknownDecoderError(Exception):
    """A model that the lean forward has no description of; the message says what is unknown."""


@dataclass(frozen=True, slots=True)
class Decoder:
    """The arithmetic of one decoder, and the names of its weights.

    Names of a layer's weights follow ``layer``, which holds the layer's number as ``{}``. Several
    names are read as one matrix, one below the other. A bias is taken where the checkpoint has one.
    """

    architecture: str  # what transformers calls it
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    context: int
    norm: Literal["rms", "layer"]
    eps: float
    activation: str
    gated: bool  # activation(gate) · up, instead of activation(up)
    parallel: bool  # attention and MLP read the same residual
    positions: Literal["rotary", "alibi", "learned"]
    rotary_dims: int  # how many of a head's dimensions turn
    rotary_frequencies: tuple[float, ...]
    tied: bool  # scores come from the embedding
    fused: Literal["", "by head", "transposed"]  # how q, k and v share a matrix
    embedding: str
    layer: str
    norm1: str
    qkv: tuple[str, ...]
    out: str
    norm2: str
    up: tuple[str, ...]
    down: str
    final_norm: str
    head: str
    embedding_norm: str = ""
    learned_positions: str = ""


def describe(config: Mapping[str, Any]) -> Decoder:
    """The decoder that a model's config.json describes. Raises UnknownDecoderError."""
    family = _FAMILIES.get(config.get("model_type", ""))
    if family is None:
        raise UnknownDecoderError(f"model_type {config.get('model_type')!r}")
    if config.get("quantization_config"):
        raise UnknownDecoderError("quantization_config")
    decoder = family(config)
    if decoder.activation not in ACTIVATIONS:
        raise UnknownDecoderError(f"activation {decoder.activation!r}")
    if decoder.heads % decoder.kv_heads:
        raise UnknownDecoderError(f"{decoder.heads} heads over {decoder.kv_heads} of keys and values")
    if decoder.hidden != decoder.heads * decoder.head_dim and decoder.fused:
        raise UnknownDecoderError(f"{decoder.heads} heads of {decoder.head_dim} in a hidden size of {decoder.hidden}")
    return decoder


ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "silu": torch.nn.functional.silu,
    "relu": torch.nn.functional.relu,
    "gelu": torch.nn.functional.gelu,
    "gelu_new": lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
    "gelu_fast": lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
    "gelu_pytorch_tanh": lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
}


def _llama(config: Mapping[str, Any]) -> Decoder:
    heads = config["num_attention_heads"]
    dim = config.get("head_dim") or config["hidden_size"] // heads
    return Decoder(
        architecture="LlamaForCausalLM",
        hidden=config["hidden_size"],
        layers=config["num_hidden_layers"],
        heads=heads,
        kv_heads=config.get("num_key_value_heads") or heads,
        head_dim=dim,
        vocabulary=config["vocab_size"],
        context=config.get("max_position_embeddings", 2048),
        norm="rms",
        eps=config.get("rms_norm_eps", 1e-6),
        activation=config.get("hidden_act", "silu"),
        gated=True,
        parallel=False,
        positions="rotary",
        rotary_dims=dim,
        rotary_frequencies=_frequencies(config, dim, config.get("rope_theta", 10_000.0)),
        tied=config.get("tie_word_embeddings", False),
        fused="",
        embedding="model.embed_tokens",
        layer="model.layers.{}.",
        norm1="input_layernorm",
        qkv=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        out="self_attn.o_proj",
        norm2="post_attention_layernorm",
        up=("mlp.gate_proj", "mlp.up_proj"),
        down="mlp.down_proj",
        final_norm="model.norm",
        head="lm_head",
    )


def _gpt_neox(config: Mapping[str, Any]) -> Decoder:
    heads, hidden = config["num_attention_heads"], config["hidden_size"]
    dim = hidden // heads
    turned = (config.get("rope_parameters") or {}).get("partial_rotary_factor", config.get("rotary_pct", 0.25))
    rotary = int(dim * turned)
    return Decoder(
        architecture="GPTNeoXForCausalLM",
        hidden=hidden,
        layers=config["num_hidden_layers"],
        heads=heads,
        kv_heads=heads,
        head_dim=dim,
        vocabulary=config["vocab_size"],
        context=config.get("max_position_embeddings", 2048),
        norm="layer",
        eps=config.get("layer_norm_eps", 1e-5),
        activation=config.get("hidden_act", "gelu"),
        gated=False,
        parallel=config.get("use_parallel_residual", True),
        positions="rotary",
        rotary_dims=rotary,
        rotary_frequencies=_frequencies(config, rotary, config.get("rotary_emb_base", 10_000)),
        tied=config.get("tie_word_embeddings", False),
        fused="by head",
        embedding="gpt_neox.embed_in",
        layer="gpt_neox.layers.{}.",
        norm1="input_layernorm",
        qkv=("attention.query_key_value",),
        out="attention.dense",
        norm2="post_attention_layernorm",
        up=("mlp.dense_h_to_4h",),
        down="mlp.dense_4h_to_h",
        final_norm="gpt_neox.final_layer_norm",
        head="embed_out",
    )


def _bloom(config: Mapping[str, Any]) -> Decoder:
    if config.get("apply_residual_connection_post_layernorm", False):
        raise UnknownDecoderError("apply_residual_connection_post_layernorm")
    heads = config.get("n_head", config.get("num_attention_heads", 8))
    hidden = config.get("hidden_size", config.get("n_embed", 64))
    return Decoder(
        architecture="BloomForCausalLM",
        hidden=hidden,
        layers=config.get("n_layer", config.get("num_hidden_layers", 2)),
        heads=heads,
        kv_heads=heads,
        head_dim=hidden // heads,
        vocabulary=config["vocab_size"],
        context=config.get("seq_length", 2048),
        norm="layer",
        eps=config.get("layer_norm_epsilon", 1e-5),
        activation="gelu_new",
        gated=False,
        parallel=False,
        positions="alibi",
        rotary_dims=0,
        rotary_frequencies=(),
        tied=config.get("tie_word_embeddings", True),
        fused="by head",
        embedding="transformer.word_embeddings",
        embedding_norm="transformer.word_embeddings_layernorm",
        layer="transformer.h.{}.",
        norm1="input_layernorm",
        qkv=("self_attention.query_key_value",),
        out="self_attention.dense",
        norm2="post_attention_layernorm",
        up=("mlp.dense_h_to_4h",),
        down="mlp.dense_4h_to_h",
        final_norm="transformer.ln_f",
        head="lm_head",
    )


def _gpt2(config: Mapping[str, Any]) -> Decoder:
    for name, only in {
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
        "add_cross_attention": False,
    }.items():
        if config.get(name, only) is not only:
            raise UnknownDecoderError(name)
    heads, hidden = config.get("n_head", 12), config.get("n_embd", 768)
    return Decoder(
        architecture="GPT2LMHeadModel",
        hidden=hidden,
        layers=config.get("n_layer", 12),
        heads=heads,
        kv_heads=heads,
        head_dim=hidden // heads,
        vocabulary=config["vocab_size"],
        context=config.get("n_positions", 1024),
        norm="layer",
        eps=config.get("layer_norm_epsilon", 1e-5),
        activation=config.get("activation_function", "gelu_new"),
        gated=False,
        parallel=False,
        positions="learned",
        rotary_dims=0,
        rotary_frequencies=(),
        tied=config.get("tie_word_embeddings", True),
        fused="transposed",
        embedding="transformer.wte",
        learned_positions="transformer.wpe",
        layer="transformer.h.{}.",
        norm1="ln_1",
        qkv=("attn.c_attn",),
        out="attn.c_proj",
        norm2="ln_2",
        up=("mlp.c_fc",),
        down="mlp.c_proj",
        final_norm="transformer.ln_f",
        head="lm_head",
    )


_FAMILIES = {"llama": _llama, "gpt_neox": _gpt_neox, "bloom": _bloom, "gpt2": _gpt2}


def _frequencies(config: Mapping[str, Any], dims: int, theta: float) -> tuple[float, ...]:
    """The angle by which each pair of dimensions turns from one position to the next, in radians.

    RoPE (Su et al., 2021, arXiv:2104.09864), with the two scalings of checkpoints that keep its form.
    """
    scaling = config.get("rope_parameters") or config.get("rope_scaling") or {}
    theta = scaling.get("rope_theta", theta)
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    plain = tuple(theta ** (-i / dims) for i in range(0, dims, 2))
    if kind == "default":
        return plain
    if kind == "linear":
        return tuple(frequency / scaling["factor"] for frequency in plain)
    if kind == "llama3":
        return tuple(_llama3(frequency, scaling) for frequency in plain)
    raise UnknownDecoderError(f"rope_type {kind!r}")


def _llama3(frequency: float, scaling: Mapping[str, Any]) -> float:
    """Llama 3.1's scaling: slow turns are slowed further, fast ones stay, those between are blended."""
    turns: float = scaling["original_max_position_embeddings"] * frequency / (2 * math.pi)
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    kept: float = min(1.0, max(0.0, (turns - low) / (high - low)))
    slowed: float = frequency / scaling["factor"]
    return (1 - kept) * slowed + kept * frequency
