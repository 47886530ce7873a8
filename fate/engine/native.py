"""Products, the pass of a decoder and the draw from its scores, compiled on this machine for its own processor.

``native.c`` is compiled once, when the first model is loaded, and kept in the user's cache. It needs
Linux on x86-64 with AVX2 and a C compiler with OpenMP. Elsewhere ``library`` is None, and PyTorch's own
operations do the same, slower.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import math
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from ctypes import POINTER, c_double, c_float, c_int, c_int64, c_void_p
from pathlib import Path
from typing import Any

import torch
from platformdirs import user_cache_path

from fate.core.sampling import MUSE_MODES, SamplerSettings
from fate.engine.families import Decoder

_SOURCE = Path(__file__).with_name("native.c")
_FLAGS = ("-O2", "-march=native", "-fno-strict-aliasing", "-shared", "-fPIC", "-fopenmp")
_PATIENCE = 120  # seconds that a compiler may take
_NEEDED = {"avx2", "fma", "f16c"}
_PART = 1 << 26  # weights packed at once: the fp32 copies that packing takes are bounded by this
_EXPONENTS = (-6, 14)  # of the largest weight, for which fp16 numbers are taken as they are
_NO_MEMORY = 1  # says a pass
_KINDS = ("float32", "float16", "int8")
_ACTIVATIONS = {"silu": 0, "relu": 1, "gelu": 2, "gelu_new": 3, "gelu_fast": 3, "gelu_pytorch_tanh": 3}


def to_compile() -> bool:
    """Whether ``library`` would have to be compiled first, which takes some seconds."""
    found = _compiler()
    return found is not None and not any(map(os.path.exists, (found[1], _refusal(found[1]))))


@functools.cache
def library() -> Any:
    """The compiled functions, or None where they cannot be had."""
    if (found := _compiler()) is None:
        return None
    compiler, file = found
    try:
        if to_compile():
            _compile(compiler, file)
        functions = ctypes.CDLL(str(file))
    except (OSError, subprocess.SubprocessError):
        return None
    functions.fate_advance.argtypes = [POINTER(_Model), POINTER(_Pass), c_int]
    functions.fate_product.argtypes = [POINTER(_Matrix), c_void_p, c_int64, c_void_p, c_int]
    functions.fate_draw.argtypes = [c_void_p, c_void_p, c_int64, c_int64, c_void_p, c_int]
    return functions


def _compiler() -> tuple[str, Path] | None:
    """A C compiler, and what it makes of ``native.c`` for this processor; None where there is nothing to try."""
    compiler = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc")
    if sys.platform != "linux" or platform.machine() != "x86_64" or compiler is None:
        return None
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        able = next((line for line in lines if line.startswith("flags")), "")
        which = f"{compiler} {Path(compiler).stat().st_mtime_ns} {_FLAGS} {able}"
        key = hashlib.sha256(_SOURCE.read_bytes() + which.encode()).hexdigest()[:16]
    except OSError:
        return None
    if not set(able.split()) >= _NEEDED:
        return None
    return compiler, user_cache_path("fate") / f"native-{key}.so"


def _refusal(file: Path) -> Path:
    """What the compiler said where it made nothing, so that it is not asked again."""
    return file.with_suffix(".log")


def _compile(compiler: str, file: Path) -> None:
    """Compile to a file that is there whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        made = Path(folder) / file.name
        command = [compiler, *_FLAGS, str(_SOURCE), "-o", str(made), "-lm"]
        try:
            said = subprocess.run(command, capture_output=True, timeout=_PATIENCE, check=False)
        except subprocess.TimeoutExpired:
            _refusal(file).write_text(f"{compiler} was not done after {_PATIENCE} seconds\n")
            return
        if said.returncode > 0:
            _refusal(file).write_bytes(said.stderr)
        elif said.returncode == 0:
            made.replace(file)


class _Matrix(ctypes.Structure):
    _fields_ = [
        *((name, c_int64) for name in ("kind", "outputs", "inputs")),
        *((name, c_void_p) for name in ("weights", "scales", "sums", "bias")),
        ("unit", c_float),
    ]


class _Norm(ctypes.Structure):
    _fields_ = [("weight", c_void_p), ("bias", c_void_p)]


class _Layer(ctypes.Structure):
    _fields_ = [
        *((name, _Norm) for name in ("norm1", "norm2")),
        *((name, _Matrix) for name in ("qkv", "out", "up", "down")),
    ]


class _Model(ctypes.Structure):
    _fields_ = [
        *((n, c_int64) for n in ("layers", "hidden", "heads", "kv_heads", "head_dim", "vocabulary", "context")),
        *((n, c_int64) for n in ("rms", "gated", "parallel", "activation", "turning", "half")),
        *((n, c_float) for n in ("eps", "scale")),
        *((n, c_void_p) for n in ("turns", "slopes")),
        ("layer", POINTER(_Layer)),
        ("final_norm", _Norm),
        ("head", _Matrix),
    ]


class _Pass(ctypes.Structure):
    _fields_ = [
        *((name, c_int64) for name in ("rows", "length", "tails_rows", "slots", "slot")),
        *((name, c_void_p) for name in ("tail_of", "first", "places", "embedded", "trunk", "tails", "scores", "draws")),
    ]


class _Draw(ctypes.Structure):
    _fields_ = [
        *((name, c_double) for name in ("temperature", "typical_p", "damp", "uniform")),
        *((name, c_int64) for name in ("top_k", "muse_top_k", "mode", "token")),
        *((name, c_double) for name in ("raw", "warped")),
    ]


class NativeDraws:
    """What ``warping.Warper`` does with a batch of rows, and a draw from it.

    ``drawn`` has what was drawn last, see ``warping.Warper.draw``: None before that, and where nothing could be.
    """

    def __init__(self, settings: Sequence[SamplerSettings]) -> None:
        self._library = library()
        self._settings = tuple(settings)
        rows = (
            _Draw(s.temperature, s.typical_p, 0, 0, s.top_k, s.muse_top_k, MUSE_MODES.index(s.muse_mode))
            for s in settings
        )
        self._draws = (_Draw * len(settings))(*rows)
        self._each = list(self._draws)
        self.address = ctypes.addressof(self._draws)
        self._ramp = max(s.muse_damp_ramp_tokens for s in settings)
        self._steady = False  # whether the damps are those after the ramp
        self.drawn: list[tuple[int, float, float]] | None = None

    def __len__(self) -> int:
        return len(self._each)

    def at(self, t: int, uniforms: Sequence[float]) -> NativeDraws:
        """Stand ready to draw at generated position ``t``."""
        self.drawn = None
        for draw, uniform in zip(self._each, uniforms, strict=True):
            draw.uniform = uniform
        if t < self._ramp or not self._steady:
            for draw, settings in zip(self._each, self._settings, strict=True):
                draw.damp = settings.damp_at(t)
            self._steady = t >= self._ramp
        return self

    def take(self, failed: int) -> None:
        """Take what compiled code has drawn, unless it failed."""
        self.drawn = None if failed else [(draw.token, draw.raw, draw.warped) for draw in self._each]

    def draw(self, scores: torch.Tensor, possible: torch.Tensor) -> None:
        """Draw, if scores are of its kind."""
        if _takes(scores) and (possible is scores or _takes(possible)):
            at = scores.data_ptr(), possible.data_ptr()
            self.take(self._library.fate_draw(*at, *scores.shape, self.address, torch.get_num_threads()))


def _takes(scores: torch.Tensor) -> bool:
    return scores.device.type == "cpu" and scores.dtype == torch.float32 and scores.is_contiguous()


def _at(tensor: torch.Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


class NativeProduct:
    """x ↦ x Wᵀ + b for fp32 rows; see ``kernels.linear``.

    Args:
        weight: (outputs, inputs), any float type; not kept.
        bias: (outputs,) or None.
        precision: float32, float16 or int8.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, precision: str) -> None:
        self._library = library()
        outputs, inputs = weight.shape
        self._bias = None if bias is None else bias.float().contiguous()
        self._scales = self._sums = None
        unit, kind = 1.0, precision
        block = self._library.fate_outputs()
        rows = max(1, _PART // inputs // block) * block
        parts = [slice(at, min(at + rows, outputs)) for at in range(0, outputs, rows)]
        if precision != "int8":
            unit = unit_of(max(float(weight[part].float().abs().max()) for part in parts))
            if precision == "float32":
                kind = "float16" if all(_fits_half(weight[part].float() / unit) for part in parts) else "float32"
        together = 4 if kind == "int8" else 1  # inputs of an output that lie together
        shape = (-(-outputs // block), -(-inputs // together), block, together)
        self._weights = torch.zeros(shape, dtype=getattr(torch, kind))
        if kind == "int8":
            self._scales = torch.ones(shape[0] * block)
            self._sums = torch.zeros(shape[0] * block, dtype=torch.int32)
        for part in parts:
            some = weight[part].float()
            if self._scales is not None and self._sums is not None:
                scales = some.abs().amax(1).clamp(min=1e-12) / 127
                some = (some / scales.unsqueeze(1)).round_()
                self._scales[part] = scales
                self._sums[part] = 128 * some.sum(1).int()
            elif unit != 1 or kind != "float32":
                some = some / unit
            self._put(some, part.start)
        self.matrix = _Matrix(
            _KINDS.index(kind),
            outputs,
            inputs,
            _at(self._weights),
            _at(self._scales),
            _at(self._sums),
            _at(self._bias),
            unit,
        )

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        x = x.contiguous()
        y = x.new_empty((x.shape[0], self.matrix.outputs))
        if self._library.fate_product(self.matrix, x.data_ptr(), len(x), y.data_ptr(), torch.get_num_threads()):
            raise MemoryError("no memory is left for a product")
        return y

    def _put(self, rows: torch.Tensor, begin: int) -> None:
        """Interleave rows of weights, the first of which is output ``begin``."""
        _, inputs, block, together = self._weights.shape
        whole = rows.new_zeros((-(-len(rows) // block) * block, inputs * together))
        whole[: len(rows), : rows.shape[1]] = rows
        into = self._weights[begin // block : (begin + len(whole)) // block]
        into.copy_(whole.view(-1, block, inputs, together).transpose(1, 2))


def unit_of(largest: float) -> float:
    """What weights are kept as multiples of: a power of two where fp16 has too little range for the largest, or 1."""
    exponent = math.frexp(largest)[1]
    return 1.0 if _EXPONENTS[0] <= exponent <= _EXPONENTS[1] else 2.0**exponent


def _fits_half(weight: torch.Tensor) -> bool:
    return torch.equal(weight.half().float(), weight)


class NativePass:
    """A decoder's scores after one more token in each row.

    Args:
        norms: weight and bias of the two norms of each layer, and of the last.
        products: of each layer, qkv, out, up and down; and the head.
        turns: (context, pairs) complex: where each pair of a head's dimensions stands; None where nothing turns.
        slopes: (heads,): ALiBi's, or None.
        context: the most tokens of a text.
        kept: the type in which keys and values are kept, float32 or float16.
    """

    def __init__(
        self,
        decoder: Decoder,
        norms: Sequence[tuple[torch.Tensor, torch.Tensor | None]],
        products: Sequence[NativeProduct],
        turns: torch.Tensor | None,
        slopes: torch.Tensor | None,
        context: int,
        kept: torch.dtype,
    ) -> None:
        d = decoder
        self._library = library()
        layers = (_Layer * d.layers)()
        norm = [_Norm(_at(weight), _at(bias)) for weight, bias in norms]
        matrices = [product.matrix for product in products]
        for i in range(d.layers):
            layers[i] = _Layer(*norm[2 * i : 2 * i + 2], *matrices[4 * i : 4 * i + 4])
        self._model = _Model(
            *(d.layers, d.hidden, d.heads, d.kv_heads, d.head_dim, d.vocabulary, context),
            *(d.norm == "rms", d.gated, d.parallel, _ACTIVATIONS[d.activation]),
            *(0 if turns is None else turns.shape[1], kept == torch.float16, d.eps, d.head_dim**-0.5),
            *(_at(turns), _at(slopes), layers, norm[-1], matrices[-1]),
        )
        self._kept = (norms, products, turns, slopes, layers)  # what the structures point to

    @staticmethod
    def takes(products: Sequence[NativeProduct]) -> bool:
        """Whether the inner layers are all of one width, which can be shared between threads in whole blocks."""
        widths = {down.matrix.inputs for down in products[3:-1:4]}
        return len(widths) == 1 and widths.pop() % library().fate_outputs() == 0

    def __call__(
        self,
        embedded: torch.Tensor,
        places: Sequence[int],
        trunk: torch.Tensor,
        length: int,
        tails: torch.Tensor,
        tail_of: Sequence[int],
        first: Sequence[int],
        slot: int,
        draws: NativeDraws | None = None,
    ) -> torch.Tensor:
        """Scores (rows, vocabulary); leaves the keys and values of the new tokens in a slot of the tails.

        Args:
            embedded: (rows, hidden).
            places: of the new tokens in their texts.
            trunk: (layers, 2, kv_heads, context, head_dim), of which ``length`` tokens are in use.
            tails: (layers, 2, kv_heads, as many rows or more, slots, head_dim).
            tail_of: which of them is a row's, a different one for each; it uses the slots from ``first`` to ``slot``.
            draws: what stands ready to draw from the scores of each row.
        """
        tails_rows, slots = tails.shape[3:5]
        if max(length, *places) >= self._model.context or slot >= slots:
            raise IndexError(f"no room for a token at {max(places)} of {self._model.context}, slot {slot} of {slots}")
        if not 0 <= min(tail_of) <= max(tail_of) < tails_rows:
            raise IndexError(f"no tails {min(tail_of)} to {max(tail_of)} among {tails_rows}")
        rows = len(places)
        embedded = embedded.contiguous()
        scores = embedded.new_empty((rows, self._model.vocabulary))
        integers = (c_int64 * (3 * rows))(*tail_of, *first, *places)
        at = ctypes.addressof(integers)
        if draws is not None and len(draws) != rows:
            raise IndexError(f"{len(draws)} draws from {rows} rows")
        tensors = map(_at, (embedded, trunk, tails, scores))
        pointers = (at, at + 8 * rows, at + 16 * rows, *tensors, draws.address if draws else None)
        this = _Pass(rows, length, tails_rows, slots, slot, *pointers)
        failed = self._library.fate_advance(self._model, this, torch.get_num_threads())
        if failed == _NO_MEMORY:
            raise MemoryError("no memory is left for a pass")
        if draws is not None:
            draws.take(failed)
        return scores
