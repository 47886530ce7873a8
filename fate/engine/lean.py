"""A decoder's forward pass with nothing in it that writing a story does not need.

Keys and values lie in two parts. The trunk holds what all rows share, and a pass reads it once for all
of them. A row's tail holds the passage that was chosen last and what the row has written after it: the
passage joins the trunk one choice later. So the candidates of one choice, and those that are written
ahead for each of its three answers at once, are computed in the same way, to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from fate.core.errors import StoppedError
from fate.core.story import common_prefix
from fate.engine.attention import Positions, TailAttention, Tails, TrunkAttention, rounded
from fate.engine.families import ACTIVATIONS, Decoder, UnknownDecoderError
from fate.engine.kernels import Precision, Product, linear
from fate.engine.native import NativeDraws, NativePass, NativeProduct
from fate.engine.pages import use_huge_pages

_READ = 256  # prompt tokens read in one pass
_MANY = 200_000_000  # weights that outgrow every cache, so that pages count

Tensors = Callable[[str], torch.Tensor | None]  # a checkpoint's tensor by its name


class LeanDecoder:
    """Scores of the next token for several rows that begin with the same text.

    Args:
        decoder: the arithmetic, see ``families.describe``.
        tensors: where the weights come from; each is asked for once and let go.
        precision: of the weights; on the CPU activations are fp32, and so are keys and values unless weights in 16
            or 8 bit have a native pass, which keeps those in fp16.
        device: where it all lies.
        context: the most tokens that a prompt and its continuation may have together.

    Raises UnknownDecoderError where a weight is missing or has another shape than the decoder's. For the methods see
    ``decoding.Decoder``.
    """

    several = keeps = True

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
        self._positions = Positions(decoder, context, self._weights.dtype, self.device)
        kept = self._weights.dtype if precision == "float32" else torch.float16
        self._native = self._weights.native(self._positions, context, kept)
        shape = (decoder.layers, 2, decoder.kv_heads, context, decoder.head_dim)
        self._trunk = torch.empty(shape, dtype=kept if self._native else self._weights.dtype, device=self.device)
        self.forget()

    def forget(self) -> None:
        self._trunk_ids: list[int] = []
        self._tails: Tails | None = None
        self._reading = 0, 0  # which of the trunk's tokens the last ``begin`` was to read
        self._read_ahead: _ReadAhead | None = None

    @torch.inference_mode()
    def begin(
        self,
        prompts: Sequence[tuple[int, ...]],
        rows: int,
        room: int,
        stem: int | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> tuple[torch.Tensor, list[int]]:
        tails, self._tails = self._tails, None  # whatever fails from here on, no row is taken for read
        # What the trunk is to hold; the last token of a prompt never belongs to it.
        shared = min(len(prompts[0]) - 1, *(min(len(p) - 1, common_prefix(prompts[0], p)) for p in prompts))
        stem = shared if stem is None else min(stem, shared)
        passages, cached = self._settle(prompts, stem, tails, stop)
        self._tails = self._new_tails(prompts, stem, passages, room)
        scores = self.advance([prompt[-1] for prompt in prompts])
        self._tails = self._some(self._tails, [i for i in range(len(prompts)) for _ in range(rows)])
        return scores, cached

    @torch.inference_mode()
    def save(self, prompt: tuple[int, ...], stem: int | None) -> _Saved:
        self._reading = 0, 0
        same = common_prefix(self._trunk_ids, prompt[: stem or 0])  # of the trunk; the rest is written over
        return _Saved(self._trunk_ids, self._trunk[:, :, :, same : len(self._trunk_ids)].clone(), self._tails)

    @torch.inference_mode()
    def restore(self, before: _Saved) -> None:
        first, stem = self._reading
        end = min(stem, len(self._trunk_ids))  # less than the stem where it was stopped
        if end > first:
            self._read_ahead = _ReadAhead(self._trunk_ids[:end], first, self._trunk[:, :, :, first:end].clone())
        self._trunk_ids, self._tails = before.trunk_ids, before.tails
        length = len(before.trunk_ids)
        self._trunk[:, :, :, length - before.rest.shape[3] : length] = before.rest

    @torch.inference_mode()
    def keep(self, rows: slice) -> None:
        tails = self._tails
        assert tails is not None, "nothing has begun"
        self._tails = self._some(tails, range(len(tails.passages))[rows])

    @torch.inference_mode()
    def advance(
        self, tokens: Sequence[int], draws: NativeDraws | None = None, rows: Sequence[int] | None = None
    ) -> torch.Tensor:
        tails = self._tails
        assert tails is not None, "nothing has begun"
        self._tails = None
        rows = range(len(tails.passages)) if rows is None else rows
        slot = tails.start + len(tails.written[rows[0]])
        assert all(tails.start + len(tails.written[row]) == slot for row in rows), "a row was left out"
        if self._native is not None:
            first = [tails.start - len(tails.passages[row]) for row in rows]
            places = [len(self._trunk_ids) + slot - begin for begin in first]
            x, length = self._embedded(tokens, places), len(self._trunk_ids)
            scores = self._native(x, places, self._trunk, length, tails.kv, rows, first, slot, draws)
        else:  # the others go on unseen, as the arithmetic of a row can depend on how many there are
            every = [0] * len(tails.passages)
            for row, token in zip(rows, tokens, strict=True):
                every[row] = token
            scores = self._advance(every, tails, slot)[list(rows)]
        for row, token in zip(rows, tokens, strict=True):
            tails.written[row].append(token)
        self._tails = tails
        return scores.float()

    def _advance(self, tokens: Sequence[int], tails: Tails, slot: int) -> torch.Tensor:
        places = [len(self._trunk_ids) + len(passage) + slot - tails.start for passage in tails.passages]
        tails.bias[:, :, slot] = self._positions.bias(torch.tensor(places, device=self.device))
        if tails.attention is None or slot >= tails.attention.end:
            trunk = self._trunk[:, :, :, : len(self._trunk_ids)]
            tails.attention = TailAttention(self._decoder, self._positions, trunk, tails, slot)
        tails.attention.begin(slot, self._positions.turns_at(places))
        return self._weights.head(self._forward(tokens, places, tails.attention))

    # --- trunk and tails --------------------------------------------------------------------------

    def _settle(
        self,
        prompts: Sequence[tuple[int, ...]],
        stem: int,
        tails: Tails | None,
        stop: Callable[[], bool] | None,
    ) -> tuple[list[torch.Tensor], list[int]]:
        """Let the trunk hold the first ``stem`` tokens; returns keys and values of each prompt's passage.

        Each is (layers, 2, kv_heads, tokens, head_dim). What any row has read is taken over, the rest is read.
        """
        ahead, self._read_ahead = self._read_ahead, None  # it holds for one beginning only
        sources = [self._source(prompt[:-1], tails) for prompt in prompts]
        passages = [self._read_part(tails, row, stem, length) for row, length in sources]
        row, length = max(sources, key=lambda source: source[1])
        length = min(length, stem)
        if length > len(self._trunk_ids):
            beyond = self._read_part(tails, row, len(self._trunk_ids), length)
            self._trunk[:, :, :, len(self._trunk_ids) : length] = beyond
        self._trunk_ids = list(prompts[0][:length])
        self._reading = length, stem
        self._read(prompts[0][length:stem], stop, ahead)
        for i, prompt in enumerate(prompts):
            if (unread := len(prompt) - 1 - stem - passages[i].shape[3]) > 0:
                end = len(prompt) - 1 - unread
                self._trunk[:, :, :, stem:end] = passages[i]
                self._trunk_ids += prompt[stem:end]
                self._read(prompt[end:-1], stop)
                passages[i] = self._trunk[:, :, :, stem : len(prompt) - 1].clone()
                del self._trunk_ids[stem:]
        return passages, [length for _, length in sources]

    def _source(self, prompt: tuple[int, ...], tails: Tails | None) -> tuple[int | None, int]:
        """The row that shares the longest beginning with a prompt (None: the trunk), and its length."""
        found: tuple[int | None, int] = (None, common_prefix(self._trunk_ids, prompt))
        if tails and found[1] == len(self._trunk_ids):
            for row, (passage, written) in enumerate(zip(tails.passages, tails.written, strict=True)):
                length = found_in_trunk = len(self._trunk_ids)
                length += common_prefix([*passage, *written], prompt[found_in_trunk:])
                if length > found[1]:
                    found = (row, length)
        return found

    def _read_part(self, tails: Tails | None, row: int | None, begin: int, end: int) -> torch.Tensor:
        """Keys and values that a row has from one token of its text to another."""
        trunk = len(self._trunk_ids)
        part = self._trunk[:, :, :, begin : max(begin, min(end, trunk))]
        if tails is None or row is None or end <= trunk:
            return part.clone()
        first = tails.start - len(tails.passages[row]) - trunk
        return torch.cat((part, tails.kv[:, :, :, row, first + max(begin, trunk) : first + end]), dim=3)

    def _new_tails(
        self, prompts: Sequence[tuple[int, ...]], stem: int, passages: list[torch.Tensor], room: int
    ) -> Tails:
        new = rounded(room)
        # What is not compiled comes out the same to the last bit only where tails are as long.
        start = max(new if self._native is None else 0, *(rounded(passage.shape[3]) for passage in passages))
        layers, two, kv_heads, _, dim = self._trunk.shape
        kv = self._trunk.new_zeros((layers, two, kv_heads, len(prompts), start + new, dim))
        heads = self._decoder.heads if self._positions.slopes is not None else 1
        bias = torch.full((heads, len(prompts), start + new), -torch.inf, device=self.device, dtype=self._weights.dtype)
        for row, passage in enumerate(passages):
            length = passage.shape[3]
            kv[:, :, :, row, start - length : start] = passage
            places = torch.arange(stem, stem + length, device=self.device)
            bias[:, row, start - length : start] = self._positions.bias(places)
        ids = [list(prompt[stem:-1]) for prompt in prompts]
        return Tails(kv, bias, ids, [[] for _ in prompts], start)

    def _some(self, tails: Tails, rows: Sequence[int]) -> Tails:
        """These rows, each as often as it is named. Of keys and values only those that there are are copied."""
        shape = (*tails.kv.shape[:3], len(rows), *tails.kv.shape[4:])
        # What is not compiled reads empty slots, too, times nothing: they must hold numbers.
        kv = tails.kv.new_zeros(shape) if self._native is None else tails.kv.new_empty(shape)
        longest, written = max(map(len, tails.passages)), max(map(len, tails.written))
        used = slice(tails.start - longest, tails.start + written)
        kv[..., used, :] = tails.kv[..., used, :][:, :, :, list(rows)]
        passages, written_by = [tails.passages[row] for row in rows], [list(tails.written[row]) for row in rows]
        return Tails(kv, tails.bias[:, list(rows)], passages, written_by, tails.start)

    def _read(self, ids: Sequence[int], stop: Callable[[], bool] | None, ahead: _ReadAhead | None = None) -> None:
        """Read tokens of one text to the end of the trunk, a part at a time, but for what was read ``ahead``."""
        text = [*self._trunk_ids, *ids]
        for begin in range(len(self._trunk_ids), len(text), _READ):
            end = min(begin + _READ, len(text))
            part = ahead.part(begin, text[:end]) if ahead else None
            if part is not None:
                self._trunk[:, :, :, begin:end] = part
            else:
                attention = TrunkAttention(self._decoder, self._positions, self._trunk, begin, end - begin)
                self._forward(text[begin:end], range(begin, end), attention, stop)
            self._trunk_ids = text[:end]

    # --- the pass ---------------------------------------------------------------------------------

    def _forward(
        self,
        tokens: Sequence[int],
        places: Sequence[int],
        attention: TailAttention | TrunkAttention,
        stop: Callable[[], bool] | None = None,
    ) -> torch.Tensor:
        """Hidden states (tokens, hidden) before the head; leaves keys and values where ``attention`` keeps them.

        Raises StoppedError before the first layer before which ``stop`` says so.
        """
        w, decoder = self._weights, self._decoder
        x = self._embedded(tokens, places)
        for i, layer in enumerate(w.layers):
            if stop and stop():
                raise StoppedError
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

    def _embedded(self, tokens: Sequence[int], places: Sequence[int]) -> torch.Tensor:
        w = self._weights
        x = w.embedding[torch.tensor(tokens, device=w.embedding.device)].to(self.device, w.dtype)
        if w.learned is not None:
            x = x + w.learned[torch.tensor(places, device=self.device)]
        return x if w.embedding_norm is None else w.embedding_norm(x)


@dataclass(frozen=True, slots=True)
class _Saved:
    """How a decoder stands; ``rest`` is the end of its trunk."""

    trunk_ids: list[int]
    rest: torch.Tensor
    tails: Tails | None


@dataclass(frozen=True, slots=True)
class _ReadAhead:
    """Keys and values of a text from its token ``first`` on, read in parts."""

    ids: list[int]  # of all of the text
    first: int
    kv: torch.Tensor  # (layers, 2, kv_heads, len(ids) - first, head_dim)

    def part(self, begin: int, text: list[int]) -> torch.Tensor | None:
        """Keys and values of the end of a text, from ``begin`` on, if that was one of the parts."""
        # The text is compared as a whole, as the last bits depend on where a part begins and ends.
        if begin not in range(self.first, len(self.ids), _READ) or text != self.ids[: begin + _READ]:
            return None
        return self.kv[:, :, :, begin - self.first : len(text) - self.first]


class _Norm:
    """LayerNorm, or RMSNorm (Zhang & Sennrich, 2019, arXiv:1910.07467) where there is no bias."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, eps: float) -> None:
        self.weight, self.bias = weight, bias
        self._eps = eps

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        if self.bias is None:
            return F.rms_norm(x, self.weight.shape, self.weight, self._eps)
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self._eps)


@dataclass(slots=True)
class _Layer:
    norm1: _Norm
    qkv: Product
    out: Product
    norm2: _Norm
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
        down, down_bias = self._matrix([at + d.down], hidden, len(up) // (2 if d.gated else 1))
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
        bias = torch.cat(biases) if biases else None
        if bias is not None and tuple(bias.shape) != weight.shape[:1]:
            raise UnknownDecoderError(f"biases of {names[0]} of shape {tuple(bias.shape)}")
        return weight, bias

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

    def native(self, positions: Positions, context: int, kept: torch.dtype) -> NativePass | None:
        """The compiled pass, where all products are compiled ones."""
        d = self._decoder
        products = [product for layer in self.layers for product in (layer.qkv, layer.out, layer.up, layer.down)]
        native = [product for product in (*products, self.head) if isinstance(product, NativeProduct)]
        if len(native) <= len(products) or not NativePass.takes(native):
            return None
        norms = [(norm.weight, norm.bias) for layer in self.layers for norm in (layer.norm1, layer.norm2)]
        norms.append((self.final_norm.weight, self.final_norm.bias))
        turns = positions.turns
        if turns is not None:  # of one head, all turn alike
            turns = turns[:, 0, : len(d.rotary_frequencies)].contiguous()
        return NativePass(d, norms, native, turns, positions.slopes, context, kept)

    def _norm(self, name: str) -> _Norm:
        d = self._decoder
        bias = None if d.norm == "rms" else self._own(f"{name}.bias", d.hidden)
        return _Norm(self._own(f"{name}.weight", d.hidden), bias, d.eps)

    def _linear(self, weight: torch.Tensor, bias: torch.Tensor | None) -> Product:
        self.count += weight.numel()
        bias = None if bias is None else bias.to(self._device, self.dtype)
        return linear(weight.to(self._device), bias, self._precision)

    def _own(self, name: str, *shape: int) -> torch.Tensor:
        return self._tensor(name, *shape).to(self._device, self.dtype)

    def _tensor(self, name: str, *shape: int) -> torch.Tensor:
        """Raises UnknownDecoderError where it is missing or misshapen."""
        found = self._tensors(name)
        if found is None:
            raise UnknownDecoderError(f"no weight {name}")
        if shape and tuple(found.shape) != shape:
            raise UnknownDecoderError(f"{name} of shape {tuple(found.shape)}")
        return found
