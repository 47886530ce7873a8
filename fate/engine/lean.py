"""A decoder's forward pass with nothing in it that writing a story does not need.

Keys and values lie in two parts. The trunk holds what all rows share, and a pass reads it once for all
of them. A row's tail holds the passage that was chosen last and what the row has written after it: the
passage joins the trunk one choice later. So the candidates of one choice, and those that are written
ahead for each of its three answers at once, are computed in the same way, to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch.nn import functional as F

from fate.core.story import common_prefix
from fate.engine.families import ACTIVATIONS, Decoder, UnknownDecoderError
from fate.engine.kernels import Precision, Product, linear
from fate.engine.pages import use_huge_pages

_READ = 256  # prompt tokens read in one pass
_SLOTS = 16  # tails are as long as they must be, in steps of so many: any finer, and the last bits would differ
_LEAST = 4  # rows in a product with the trunk; with fewer, the last bits would depend on their number

_MANY = 200_000_000  # weights that outgrow every cache, so that pages count

Tensors = Callable[[str], torch.Tensor | None]  # a checkpoint's tensor by its name


@dataclass(slots=True)
class _Tails:
    """What rows have beyond the trunk: group after group, each of as many rows."""

    kv: torch.Tensor  # (layers, 2, kv_heads, rows, slots, head_dim)
    bias: torch.Tensor  # (heads or 1, rows, slots): added to scores; -inf where a row has no token
    passages: list[list[int]]  # of each row; they end where the new tokens start
    written: list[list[int]]  # of each row: the new tokens that have been read
    start: int  # the slot of the first new token
    attention: _TailAttention | None = None  # over the slots in use, made when there are more of them


class LeanDecoder:
    """Scores of the next token for several rows that begin with the same text.

    Args:
        decoder: the arithmetic, see ``families.describe``.
        tensors: where the weights come from; each is asked for once and let go.
        precision: of the weights; activations, keys and values are fp32 on the CPU.
        device: where it all lies.
        context: the most tokens that a prompt and its continuation may have together.

    Raises UnknownDecoderError where a weight is missing or has another shape than the decoder's. For the methods see
    ``decoding.Decoder``.
    """

    several = True

    def __init__(
        self,
        decoder: Decoder,
        tensors: Tensors,
        precision: Precision = "float32",
        device: torch.device | str = "cpu",
        context: int = 1024,
    ) -> None:
        self.device = torch.device(device)
        self.vocabulary = decoder.vocabulary
        self._decoder = decoder
        self._weights = _Weights(decoder, tensors, precision, self.device)
        if self.device.type == "cpu" and self._weights.count > _MANY:
            use_huge_pages()
        self._activation = ACTIVATIONS[decoder.activation]
        self._scale = decoder.head_dim**-0.5
        self._turns = _turns(decoder, context).to(self.device) if decoder.positions == "rotary" else None
        self._slopes = _slopes(decoder.heads).to(self.device) if decoder.positions == "alibi" else None
        shape = (decoder.layers, 2, decoder.kv_heads, context, decoder.head_dim)
        self._trunk = torch.empty(shape, dtype=self._weights.dtype, device=self.device)
        self.forget()

    def forget(self) -> None:
        self._trunk_ids: list[int] = []
        self._tails: _Tails | None = None

    @torch.inference_mode()
    def begin(self, prompts: Sequence[tuple[int, ...]], rows: int, room: int) -> tuple[torch.Tensor, list[int]]:
        tails, self._tails = self._tails, None  # whatever fails from here on, no row is taken for read
        stem = self._stem(prompts, tails)
        passages, cached = self._settle(prompts, stem, tails)
        self._tails = self._new_tails(prompts, stem, passages, room)
        scores = self.advance([prompt[-1] for prompt in prompts])
        tails = self._tails
        tails.kv = tails.kv.repeat_interleave(rows, 3)
        tails.bias = tails.bias.repeat_interleave(rows, 1)
        tails.passages = [passage for passage in tails.passages for _ in range(rows)]
        tails.written = [list(written) for written in tails.written for _ in range(rows)]
        tails.attention = None
        return scores, cached

    @torch.inference_mode()
    def keep(self, rows: slice) -> None:
        tails = self._tails
        assert tails is not None, "nothing has begun"
        tails.kv = tails.kv[:, :, :, rows].contiguous()
        tails.bias = tails.bias[:, rows].contiguous()
        tails.passages, tails.written = tails.passages[rows], tails.written[rows]
        tails.attention = None

    @torch.inference_mode()
    def advance(self, tokens: Sequence[int]) -> torch.Tensor:
        tails = self._tails
        assert tails is not None, "nothing has begun"
        self._tails = None
        places = [
            len(self._trunk_ids) + len(passage) + len(written)
            for passage, written in zip(tails.passages, tails.written, strict=True)
        ]
        slot = tails.start + len(tails.written[0])
        tails.bias[:, :, slot] = self._bias(torch.tensor(places, device=self.device))
        if tails.attention is None or slot >= tails.attention.end:
            tails.attention = _TailAttention(self, tails, slot)
        tails.attention.begin(slot, self._turns_at(places))
        scores = self._weights.head(self._forward(tokens, places, tails.attention))
        for written, token in zip(tails.written, tokens, strict=True):
            written.append(token)
        self._tails = tails
        return scores.float()

    # --- trunk and tails --------------------------------------------------------------------------

    def _stem(self, prompts: Sequence[tuple[int, ...]], tails: _Tails | None) -> int:
        """How much of the prompts the trunk is to hold.

        Where all of them go on after one passage, that is all up to the passage's end; the last token of a
        prompt never belongs to it.
        """
        shortest = min(map(len, prompts)) - 1
        for passage in tails.passages if tails else ():
            begun = (*self._trunk_ids, *passage)
            if len(begun) <= shortest and all(prompt[: len(begun)] == begun for prompt in prompts):
                return len(begun)
        return min(shortest, *(common_prefix(prompts[0], prompt) for prompt in prompts))

    def _settle(
        self, prompts: Sequence[tuple[int, ...]], stem: int, tails: _Tails | None
    ) -> tuple[list[torch.Tensor], list[int]]:
        """Let the trunk hold the first ``stem`` tokens; returns keys and values of each prompt's passage.

        Each is (layers, 2, kv_heads, tokens, head_dim). What any row has read is taken over, the rest is read.
        """
        sources = [self._source(prompt[:-1], tails) for prompt in prompts]
        passages = [self._read_part(tails, row, stem, length) for row, length in sources]
        row, length = max(sources, key=lambda source: source[1])
        length = min(length, stem)
        if length > len(self._trunk_ids):
            beyond = self._read_part(tails, row, len(self._trunk_ids), length)
            self._trunk[:, :, :, len(self._trunk_ids) : length] = beyond
        self._trunk_ids = list(prompts[0][:length])
        self._read(prompts[0][length:stem])
        for i, prompt in enumerate(prompts):
            if (unread := len(prompt) - 1 - stem - passages[i].shape[3]) > 0:
                end = len(prompt) - 1 - unread
                self._trunk[:, :, :, stem:end] = passages[i]
                self._trunk_ids += prompt[stem:end]
                self._read(prompt[end:-1])
                passages[i] = self._trunk[:, :, :, stem : len(prompt) - 1].clone()
                del self._trunk_ids[stem:]
        return passages, [length for _, length in sources]

    def _source(self, prompt: tuple[int, ...], tails: _Tails | None) -> tuple[int | None, int]:
        """The row that shares the longest beginning with a prompt (None: the trunk), and its length."""
        found: tuple[int | None, int] = (None, common_prefix(self._trunk_ids, prompt))
        if tails and found[1] == len(self._trunk_ids):
            for row, (passage, written) in enumerate(zip(tails.passages, tails.written, strict=True)):
                length = found_in_trunk = len(self._trunk_ids)
                length += common_prefix([*passage, *written], prompt[found_in_trunk:])
                if length > found[1]:
                    found = (row, length)
        return found

    def _read_part(self, tails: _Tails | None, row: int | None, begin: int, end: int) -> torch.Tensor:
        """Keys and values that a row has from one token of its text to another."""
        trunk = len(self._trunk_ids)
        part = self._trunk[:, :, :, begin : max(begin, min(end, trunk))]
        if tails is None or row is None or end <= trunk:
            return part.clone()
        first = tails.start - len(tails.passages[row]) - trunk
        return torch.cat((part, tails.kv[:, :, :, row, first + max(begin, trunk) : first + end]), dim=3)

    def _new_tails(
        self, prompts: Sequence[tuple[int, ...]], stem: int, passages: list[torch.Tensor], room: int
    ) -> _Tails:
        new = _rounded(room)
        start = max(new, *(_rounded(passage.shape[3]) for passage in passages))
        layers, two, kv_heads, _, dim = self._trunk.shape
        kv = self._trunk.new_zeros((layers, two, kv_heads, len(prompts), start + new, dim))
        heads = self._decoder.heads if self._slopes is not None else 1
        bias = torch.full((heads, len(prompts), start + new), -torch.inf, device=self.device, dtype=self._trunk.dtype)
        for row, passage in enumerate(passages):
            length = passage.shape[3]
            kv[:, :, :, row, start - length : start] = passage
            bias[:, row, start - length : start] = self._bias(torch.arange(stem, stem + length, device=self.device))
        ids = [list(prompt[stem:-1]) for prompt in prompts]
        return _Tails(kv, bias, ids, [[] for _ in prompts], start)

    def _read(self, ids: Sequence[int]) -> None:
        """Read tokens of one text to the end of the trunk."""
        for begin in range(0, len(ids), _READ):
            part = ids[begin : begin + _READ]
            done = len(self._trunk_ids)
            places = range(done, done + len(part))
            self._forward(part, places, _TrunkAttention(self, done, len(part), self._turns_at(places)))
            self._trunk_ids += part

    def _bias(self, places: torch.Tensor) -> torch.Tensor:
        """What is added to the scores of keys at places in a text, (heads or 1, places): ALiBi, or nothing."""
        if self._slopes is None:
            return torch.zeros((1, len(places)), device=self.device, dtype=self._trunk.dtype)
        return (self._slopes.unsqueeze(1) * places).to(self._trunk.dtype)

    def _turns_at(self, places: Sequence[int]) -> torch.Tensor | None:
        return None if self._turns is None else self._turns[torch.tensor(places, device=self.device)]

    # --- the pass ---------------------------------------------------------------------------------

    def _forward(
        self, tokens: Sequence[int], places: Sequence[int], attention: _TailAttention | _TrunkAttention
    ) -> torch.Tensor:
        """Hidden states (tokens, hidden) before the head; leaves keys and values where ``attention`` keeps them."""
        w, decoder = self._weights, self._decoder
        x = w.embedding[torch.tensor(tokens, device=w.embedding.device)].to(self.device, w.dtype)
        if w.learned is not None:
            x = x + w.learned[torch.tensor(places, device=self.device)]
        if w.embedding_norm is not None:
            x = w.embedding_norm(x)
        for i, layer in enumerate(w.layers):
            attended = layer.out(attention(i, layer.qkv(layer.norm1(x))))
            x = x + attended if not decoder.parallel else x
            up = layer.up(layer.norm2(x))
            if decoder.gated:
                gate, up = up.chunk(2, dim=-1)
                up = self._activation(gate).mul_(up)
            else:
                up = self._activation(up)
            x = layer.down(up).add_(x)
            if decoder.parallel:
                x = x + attended
        return w.final_norm(x)


class _Heads:
    """Queries, keys and values of the new tokens in one layer, side by side, in the same memory for every layer.

    Args:
        tokens: how many.
        turns: (tokens, heads + 2 kv_heads, head_dim / 2), see ``_turns``; None where nothing turns.
    """

    def __init__(self, decoder: Decoder, tokens: int, like: torch.Tensor, turns: torch.Tensor | None = None) -> None:
        kv_heads, dim = decoder.kv_heads, decoder.head_dim
        self.all = like.new_empty((tokens, decoder.heads + 2 * kv_heads, dim))
        self.q = self.all[:, : decoder.heads]  # (tokens, heads, head_dim)
        self.kv = self.all[:, decoder.heads :].view(tokens, 2, kv_heads, dim).permute(1, 2, 0, 3)  # as they are kept
        self.turns = turns
        self._flat = self.all.view(tokens, -1)
        self._pairs = self.all.view(tokens, -1, dim // 2, 2)
        self._turned = torch.view_as_complex(self._pairs) if like.dtype == torch.float32 else None

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


class _TailAttention:
    """Attention of one new token in each row, over the trunk and the row's own tail.

    To begin an operation takes longer than most of them last, so all that they read and write is cut out of
    tensors beforehand, for all layers and for as many passes as the slots suffice.
    """

    def __init__(self, lean: LeanDecoder, tails: _Tails, slot: int) -> None:
        kv_heads, rows, _, dim = tails.kv.shape[2:]
        each = lean._decoder.heads // kv_heads  # queries of a row that share a key
        queries = rows * each
        padded = max(queries, _LEAST)
        longest = max(len(passage) for passage in tails.passages)
        self.end = _rounded(slot + 1)  # of the slots that are in use
        used = slice((tails.start - longest) // _SLOTS * _SLOTS, self.end)
        length, own = len(lean._trunk_ids), self.end - used.start
        new = tails.kv.new_zeros
        self._scale = lean._scale
        self._kv = tails.kv
        self._heads = _Heads(lean._decoder, rows, tails.kv)
        self._keys, self._values = _by_layer(tails.kv[:, :, :, :, used].flatten(2, 3))
        self._trunk_keys, self._trunk_values = _by_layer(lean._trunk[:, :, :, :length])
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
        self._trunk_bias = lean._bias(torch.arange(length, device=lean.device)).unsqueeze(1)
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


class _TrunkAttention:
    """Attention of several new tokens of one text, over the trunk and one another."""

    def __init__(self, lean: LeanDecoder, done: int, new: int, turns: torch.Tensor | None) -> None:
        self._scale = lean._scale
        self._each = lean._decoder.heads // lean._decoder.kv_heads
        self._heads = _Heads(lean._decoder, new, lean._trunk, turns)
        self._new = lean._trunk[:, :, :, done : done + new].unbind()
        self._read = lean._trunk[:, :, :, : done + new].unbind()
        every = torch.arange(done + new, device=lean.device)
        later = every > every[done:].unsqueeze(1)
        self._bias = lean._bias(every).unsqueeze(1).masked_fill(later, -torch.inf).unsqueeze(0)

    def __call__(self, layer: int, qkv: torch.Tensor) -> torch.Tensor:
        """(tokens, (heads + 2 kv_heads) · head_dim) to (tokens, heads · head_dim)."""
        self._heads.put(qkv)
        self._new[layer].copy_(self._heads.kv)
        q = self._heads.q.transpose(0, 1).unsqueeze(0)
        k, v = self._read[layer].repeat_interleave(self._each, 1).unsqueeze(1)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=self._bias, scale=self._scale)
        return out[0].transpose(0, 1).flatten(1)


def _by_layer(kv: torch.Tensor) -> tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]]:
    """(layers, 2, heads, tokens, head_dim) to the keys, transposed for a product, and the values of each layer."""
    return kv[:, 0].transpose(-1, -2).unbind(), kv[:, 1].unbind()


@dataclass(slots=True)
class _Layer:
    norm1: Product
    qkv: Product
    out: Product
    norm2: Product
    up: Product
    down: Product


class _Weights:
    """A checkpoint's weights in the forms that the pass takes."""

    def __init__(self, decoder: Decoder, tensors: Tensors, precision: Precision, device: torch.device) -> None:
        self._decoder, self._tensors, self._precision, self._device = decoder, tensors, precision, device
        self.dtype = torch.float32 if device.type == "cpu" else getattr(torch, precision)
        self.count = 0  # of weights in products
        d = decoder
        self.embedding = self._tensor(f"{d.embedding}.weight", d.vocabulary, d.hidden)
        if device.type != "cpu":
            self.embedding = self.embedding.to(device, self.dtype)
        self.learned = self._own(f"{d.learned_positions}.weight") if d.learned_positions else None
        self.embedding_norm = self._norm(d.embedding_norm) if d.embedding_norm else None
        self.layers = [self._layer(d.layer.format(i)) for i in range(d.layers)]
        self.final_norm = self._norm(d.final_norm)
        head = self.embedding if d.tied else self._tensor(f"{d.head}.weight", d.vocabulary, d.hidden)
        self.head = self._linear(head, None if d.tied else self._tensors(f"{d.head}.bias"))

    def _layer(self, at: str) -> _Layer:
        d = self._decoder
        hidden, dim = d.hidden, d.head_dim
        qkv, qkv_bias = self._matrix([at + name for name in d.qkv], (d.heads + 2 * d.kv_heads) * dim, hidden)
        out, out_bias = self._matrix([at + d.out], hidden, d.heads * dim)
        up, up_bias = self._matrix([at + name for name in d.up], None, hidden)
        down, down_bias = self._matrix([at + d.down], hidden, None)
        return _Layer(
            norm1=self._norm(at + d.norm1),
            qkv=self._linear(self._ordered(qkv), None if qkv_bias is None else self._ordered(qkv_bias)),
            out=self._linear(out, out_bias),
            norm2=self._norm(at + d.norm2),
            up=self._linear(up, up_bias),
            down=self._linear(down, down_bias),
        )

    def _matrix(
        self, names: list[str], outputs: int | None, inputs: int | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(outputs, inputs) and (outputs,) or None: the weights and biases of these names, one below the other."""
        weights, biases = [], []
        for name in names:
            weight = self._tensor(f"{name}.weight")
            weights.append(weight.t() if self._decoder.fused == "transposed" else weight)
            if (bias := self._tensors(f"{name}.bias")) is not None:
                biases.append(bias)
        weight = torch.cat(weights) if len(weights) > 1 else weights[0]
        if (outputs or weight.shape[0], inputs or weight.shape[1]) != tuple(weight.shape):
            raise UnknownDecoderError(f"{names[0]} of shape {tuple(weight.shape)}")
        return weight, torch.cat(biases) if len(biases) == len(weights) else None

    def _ordered(self, qkv: torch.Tensor) -> torch.Tensor:
        """The rows of q, k and v head after head, the two dimensions that turn together side by side."""
        d = self._decoder
        if d.fused == "by head":
            qkv = qkv.view(d.heads, 3, d.head_dim, *qkv.shape[1:]).transpose(0, 1).flatten(0, 2)
        if not d.rotary_dims:
            return qkv
        pairs = torch.arange(d.rotary_dims).view(2, -1).t().flatten()
        order = torch.cat((pairs, torch.arange(d.rotary_dims, d.head_dim)))
        turned = (d.heads + d.kv_heads) * d.head_dim
        qk = qkv[:turned].view(-1, d.head_dim, *qkv.shape[1:])[:, order].flatten(0, 1)
        return torch.cat((qk, qkv[turned:]))

    def _norm(self, name: str) -> Product:
        weight, eps, shape = self._own(f"{name}.weight"), self._decoder.eps, (self._decoder.hidden,)
        if self._decoder.norm == "rms":
            epsilon, mean = torch.full((1, 1), eps, device=self._device), 1 / self._decoder.hidden
            return partial(_rms_norm, weight, epsilon, mean)
        bias = self._own(f"{name}.bias")
        return lambda x: F.layer_norm(x, shape, weight, bias, eps)

    def _linear(self, weight: torch.Tensor, bias: torch.Tensor | None) -> Product:
        self.count += weight.numel()
        bias = None if bias is None else bias.to(self._device, self.dtype)
        return linear(weight.to(self._device), bias, self._precision)

    def _own(self, name: str) -> torch.Tensor:
        return self._tensor(name).to(self._device, self.dtype)

    def _tensor(self, name: str, *shape: int) -> torch.Tensor:
        """Raises UnknownDecoderError where it is missing or misshapen."""
        found = self._tensors(name)
        if found is None:
            raise UnknownDecoderError(f"no weight {name}")
        if shape and tuple(found.shape) != shape:
            raise UnknownDecoderError(f"{name} of shape {tuple(found.shape)}")
        return found


def _rms_norm(weight: torch.Tensor, eps: torch.Tensor, mean: float, x: torch.Tensor) -> torch.Tensor:
    """RMSNorm (Zhang & Sennrich, 2019, arXiv:1910.07467) in fewer operations than PyTorch's own takes on a CPU."""
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
    scale = torch.addcmul(eps, length, length, value=mean).rsqrt_()
    return (x * scale).to(x.dtype) * weight


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


def _rounded(slots: int) -> int:
    return -(-slots // _SLOTS) * _SLOTS
