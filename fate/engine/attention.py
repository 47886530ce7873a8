"""Attention in PyTorch's operations: of new tokens over keys and values in the trunk and in the tails of rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from fate.engine.families import Decoder

SLOTS = 16  # tails are as long as they must be, in steps of so many: any finer, and the last bits would differ
_HALF = 65_504.0  # the largest number in fp16
_LEAST = 4  # rows in a product with the trunk; with fewer, the last bits would depend on their number


def rounded(slots: int) -> int:
    return -(-slots // SLOTS) * SLOTS


class Positions:
    """How a decoder tells where in a text a token stands: RoPE, ALiBi, or neither.

    Args:
        dtype: of attention's scores.
    """

    def __init__(self, decoder: Decoder, context: int, dtype: torch.dtype, device: torch.device) -> None:
        self.dtype, self.device = dtype, device
        self.turns = _turns(decoder, context).to(device) if decoder.positions == "rotary" else None
        self.slopes = _slopes(decoder.heads).to(device) if decoder.positions == "alibi" else None

    def turns_at(self, places: Sequence[int]) -> torch.Tensor | None:
        """(places, heads + 2 kv_heads, head_dim / 2) complex; None where nothing turns."""
        return None if self.turns is None else self.turns[torch.tensor(places, device=self.turns.device)]

    def bias(self, places: torch.Tensor) -> torch.Tensor:
        """What is added to the scores of keys at places in a text, (heads or 1, places): ALiBi, or nothing."""
        if self.slopes is None:
            return torch.zeros((1, len(places)), dtype=self.dtype, device=self.device)
        return (self.slopes.unsqueeze(1) * places).to(self.dtype)


@dataclass(slots=True)
class Tails:
    """What rows have beyond the trunk: group after group, each of as many rows."""

    kv: torch.Tensor  # (layers, 2, kv_heads, rows, slots, head_dim)
    bias: torch.Tensor  # (heads or 1, rows, slots): added to scores; -inf where a row has no token
    passages: list[list[int]]  # of each row; they end where the new tokens start
    written: list[list[int]]  # of each row: the new tokens that have been read
    start: int  # the slot of the first new token
    attention: TailAttention | None = None  # over the slots in use, made when there are more of them


class _Heads:
    """Queries, keys and values of the new tokens in one layer, side by side, in the same memory for every layer.

    Args:
        tokens: how many.
        turns: (tokens, heads + 2 kv_heads, head_dim / 2), see ``Positions``; None where nothing turns.
    """

    def __init__(self, decoder: Decoder, tokens: int, positions: Positions, turns: torch.Tensor | None = None) -> None:
        kv_heads, dim, dtype = decoder.kv_heads, decoder.head_dim, positions.dtype
        self.all = torch.empty((tokens, decoder.heads + 2 * kv_heads, dim), dtype=dtype, device=positions.device)
        self.q = self.all[:, : decoder.heads]  # (tokens, heads, head_dim)
        self.kv = self.all[:, decoder.heads :].view(tokens, 2, kv_heads, dim).permute(1, 2, 0, 3)  # as they are kept
        self.turns = turns
        self._flat = self.all.view(tokens, -1)
        self._pairs = self.all.view(tokens, -1, dim // 2, 2)
        self._turned = torch.view_as_complex(self._pairs) if dtype == torch.float32 else None

    def put(self, qkv: torch.Tensor) -> None:
        """Take (tokens, (heads + 2 kv_heads) · head_dim), and turn its pairs of dimensions as complex numbers."""
        if self.turns is None:
            self._flat.copy_(qkv)
        elif self._turned is not None:
            torch.mul(torch.view_as_complex(qkv.view(self._pairs.shape)), self.turns, out=self._turned)
        else:
            self._pairs.copy_(
                torch.view_as_real(torch.view_as_complex(qkv.float().view(self._pairs.shape)) * self.turns)
            )


class TailAttention:
    """Attention of one new token in each row, over the trunk and the row's own tail.

    To begin an operation takes longer than most of them last, so all that they read and write is cut out of
    tensors beforehand, for all layers and for as many passes as the slots suffice.

    Args:
        trunk: (layers, 2, kv_heads, tokens, head_dim).
        slot: where in the tails the next token is to lie.
    """

    def __init__(self, decoder: Decoder, positions: Positions, trunk: torch.Tensor, tails: Tails, slot: int) -> None:
        kv_heads, rows, _, dim = tails.kv.shape[2:]
        each = decoder.heads // kv_heads  # queries of a row that share a key
        queries = rows * each
        padded = max(queries, _LEAST)
        longest = max(len(passage) for passage in tails.passages)
        self.end = rounded(slot + 1)  # of the slots that are in use
        used = slice((tails.start - longest) // SLOTS * SLOTS, self.end)
        length, own = trunk.shape[3], self.end - used.start
        new = tails.kv.new_zeros
        self._scale = dim**-0.5
        self._kv = tails.kv
        self._heads = _Heads(decoder, rows, positions)
        self._keys, self._values = _by_layer(tails.kv[:, :, :, :, used].flatten(2, 3))
        self._trunk_keys, self._trunk_values = _by_layer(trunk)
        # Every row's queries over its own tail, and all rows' over the trunk.
        by_row, by_head = (kv_heads, rows, each), (kv_heads, padded)
        self._q, self._shared_q = new((*by_row, dim)), new((*by_head, dim))
        self._own_q = self._q.flatten(0, 1)
        self._asked = self._heads.q.view(rows, kv_heads, each, dim).transpose(0, 1)
        self._asked_too = self._shared_q[:, :queries].view(self._q.shape)
        # Scores, and the weights that follow from them: in the trunk, then in the tail.
        self._scores, self._weights = new((*by_head, length + own)), new((*by_head, length + own))
        self._trunk_scores, self._trunk_weights = self._scores[:, :, :length], self._weights[:, :, :length]
        self._tail_scores, self._tail_weights = (
            both[:, :queries, length:].view(*by_row, own) for both in (self._scores, self._weights)
        )
        self._own_scores, self._own_weights = new((*by_row, own)), new((*by_row, own))
        self._own_scores_flat, self._own_weights_flat = self._own_scores.flatten(0, 1), self._own_weights.flatten(0, 1)
        self._trunk_bias = positions.bias(torch.arange(length, device=trunk.device)).unsqueeze(1)
        self._tail_bias = tails.bias[:, :, used].unsqueeze(2)
        # What is read of the values with them.
        self._from_tail, self._from_trunk = new((*by_row, dim)), new((*by_head, dim))
        self._from_tail_flat = self._from_tail.flatten(0, 1)
        self._from_trunk_by_row = self._from_trunk[:, :queries].view(self._from_tail.shape)
        self._out = new((rows, kv_heads * each * dim))
        self._sum = self._out.view(rows, kv_heads, each, dim).transpose(0, 1)

    def begin(self, slot: int, turns: torch.Tensor | None) -> None:
        """The new tokens are to lie in a slot, and to be turned as their places say."""
        self._new = self._kv[:, :, :, :, slot].unbind()
        self._heads.turns = turns

    def __call__(self, layer: int, qkv: torch.Tensor) -> torch.Tensor:
        """(rows, (heads + 2 kv_heads) · head_dim) to (rows, heads · head_dim), which the next layer overwrites."""
        self._heads.put(qkv)
        self._new[layer].copy_(self._heads.kv)
        self._q.copy_(self._asked)
        self._asked_too.copy_(self._asked)
        in_trunk = torch.bmm(self._shared_q, self._trunk_keys[layer])
        torch.add(self._trunk_bias, in_trunk, alpha=self._scale, out=self._trunk_scores)
        torch.bmm(self._own_q, self._keys[layer], out=self._own_scores_flat)
        torch.add(self._tail_bias, self._own_scores, alpha=self._scale, out=self._tail_scores)
        torch.softmax(self._scores, -1, out=self._weights)
        self._own_weights.copy_(self._tail_weights)
        torch.bmm(self._own_weights_flat, self._values[layer], out=self._from_tail_flat)
        torch.bmm(self._trunk_weights, self._trunk_values[layer], out=self._from_trunk)
        torch.add(self._from_tail, self._from_trunk_by_row, out=self._sum)
        return self._out


class TrunkAttention:
    """Attention of several new tokens of one text, over the trunk's first tokens and one another.

    Args:
        trunk: (layers, 2, kv_heads, context, head_dim), in which ``done`` tokens are, and the ``new`` ones will be; of
            any float type.
    """

    def __init__(self, decoder: Decoder, positions: Positions, trunk: torch.Tensor, done: int, new: int) -> None:
        self._scale = decoder.head_dim**-0.5
        self._each = decoder.heads // decoder.kv_heads
        self._heads = _Heads(decoder, new, positions, positions.turns_at(range(done, done + new)))
        self._new = trunk[:, :, :, done : done + new].unbind()
        self._read = trunk[:, :, :, : done + new].unbind()
        every = torch.arange(done + new, device=trunk.device)
        later = every > every[done:].unsqueeze(1)
        self._bias = positions.bias(every).unsqueeze(1).masked_fill(later, -torch.inf).unsqueeze(0)

    def __call__(self, layer: int, qkv: torch.Tensor) -> torch.Tensor:
        """(tokens, (heads + 2 kv_heads) · head_dim) to (tokens, heads · head_dim)."""
        self._heads.put(qkv)
        new = self._new[layer]
        new.copy_(self._heads.kv.clamp(-_HALF, _HALF) if new.dtype != self._heads.kv.dtype else self._heads.kv)
        q = self._heads.q.transpose(0, 1).unsqueeze(0)
        k, v = self._read[layer].to(q.dtype).repeat_interleave(self._each, 1).unsqueeze(1)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=self._bias, scale=self._scale)
        return out[0].transpose(0, 1).flatten(1)


def _by_layer(kv: torch.Tensor) -> tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]]:
    """(layers, 2, heads, tokens, head_dim) to the keys, transposed for a product, and the values of each layer."""
    return kv[:, 0].transpose(-1, -2).unbind(), kv[:, 1].unbind()


def _turns(decoder: Decoder, context: int) -> torch.Tensor:
    """(context, heads + 2 kv_heads, head_dim / 2) complex: where each pair of dimensions of q, k and v stands.

    A pair that does not turn, as those of v, is multiplied by 1.
    """
    angles = torch.zeros(context, decoder.heads + 2 * decoder.kv_heads, decoder.head_dim // 2)
    frequencies = torch.tensor(decoder.rotary_frequencies)
    angles[:, : -decoder.kv_heads, : len(frequencies)] = torch.outer(torch.arange(context), frequencies).unsqueeze(1)
    return torch.polar(torch.ones_like(angles), angles)


def _slopes(heads: int) -> torch.Tensor:
    """ALiBi's slope of each head (Press et al., 2021, arXiv:2108.12409)."""
    power = 2 ** math.floor(math.log2(heads))
    slopes = [2 ** (-8 * (i + 1) / power) for i in range(power)]
    slopes += [2 ** (-4 * (2 * i + 1) / power) for i in range(heads - power)]
    return torch.tensor(slopes)
