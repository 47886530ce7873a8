"""Products with a fixed matrix, few rows at a time: what nearly all of a decode pass is spent on.

A pass reads every weight once, so its time is the time of reading them: fewer bytes, less time. The
best products are our own, compiled on the machine that they run on; the next best for 16-bit and 8-bit
weights beside fp32 activations are FBGEMM's, which PyTorch has on x86 only. The results of both for one
row do not depend on how many rows stand beside it, to the last bit.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Literal

import torch
from torch.nn import functional as F

from fate.engine import native

Precision = Literal["float32", "float16", "bfloat16", "int8"]
Product = Callable[[torch.Tensor], torch.Tensor]
_CHUNK = 1 << 26  # weights packed at once: the fp32 copy that packing takes is bounded by this
_LOW = 2.0**12  # what fp16 leaves of an fp32 weight is kept as a second fp16, this many times larger
_OPERATORS = (
    "linear_prepack_fp16",
    "linear_dynamic_fp16",
    "linear_prepack",
    "linear_with_input_q_dq_qweight_dq_output_fp32",
)
_STEP, _ZERO = 1 / 127, 127  # in 8 bit, the integers from 0 to 254 stand for activations from -1 to 1


def products(precision: str) -> Literal["native", "fbgemm", "torch"]:
    """Whose products with weights of a precision the CPU of this machine takes; PyTorch's own have fp32 or bf16."""
    if precision != "bfloat16" and native.library() is not None:
        return "native"
    if precision != "bfloat16" and "fbgemm" in (torch.backends.quantized.supported_engines or ()) and _has_operators():
        return "fbgemm"
    return "torch"


def _has_operators() -> bool:
    """Whether this PyTorch still has FBGEMM's operators: the tensors that they take are announced to go one day."""
    return hasattr(torch, "quantize_per_channel") and all(hasattr(torch.ops.quantized, name) for name in _OPERATORS)


def linear(weight: torch.Tensor, bias: torch.Tensor | None, precision: Precision) -> Product:
    """x ↦ x Wᵀ + b for fp32 rows x, (rows, inputs) to (rows, outputs), with W held in some precision.

    ``float32`` is exact to fp32's own rounding: for FBGEMM a weight is the sum of two fp16 numbers (22
    significant bits), elsewhere it is fp32; where the checkpoint itself has no more, it is one fp16 number.
    ``float16`` rounds each weight to fp16. ``int8`` rounds weights to 127 steps of their output
    channel's largest, and each row of x to 127 steps of its own largest entry, so rows stay
    independent. ``bfloat16`` and every device but the CPU take PyTorch's own product in that type.

    Args:
        weight: (outputs, inputs), any float type; not kept.
        bias: (outputs,) or None.
    """
    whose = products(precision) if weight.device.type == "cpu" else "torch"
    if whose == "native":
        return native.NativeProduct(weight, bias, precision)
    if whose == "torch":
        return _Plain(weight, bias, precision)
    rows = max(1, _CHUNK // weight.shape[1])
    if len(weight) <= rows:
        return _fbgemm(weight, bias, precision)
    cuts = [slice(at, at + rows) for at in range(0, len(weight), rows)]
    parts = [_fbgemm(weight[cut], None if bias is None else bias[cut], precision) for cut in cuts]
    return lambda x: torch.cat([part(x) for part in parts], dim=-1)


def _fbgemm(weight: torch.Tensor, bias: torch.Tensor | None, precision: Precision) -> Product:
    if precision == "int8":
        return _Int8(weight.float(), bias)
    return _Half(weight.float(), bias, exact=precision == "float32")


class _Plain:
    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, precision: Precision) -> None:
        # The CPU has no fast product of its own with narrow weights; the next best is fp32.
        dtype = torch.float32 if weight.device.type == "cpu" else getattr(torch, precision, torch.bfloat16)
        self._weight = weight.to(dtype)
        self._bias = None if bias is None else bias.to(dtype)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self._weight, self._bias)


class _Half:
    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, *, exact: bool) -> None:
        self._unit = native.unit_of(float(weight.abs().max()))
        weight = weight / self._unit
        high = weight.half().float()
        bias = None if bias is None else bias.float() / self._unit
        self._high = torch.ops.quantized.linear_prepack_fp16(high, bias)
        low = (weight - high) * _LOW
        self._low = torch.ops.quantized.linear_prepack_fp16(low, None) if exact and bool(low.any()) else None

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = torch.ops.quantized.linear_dynamic_fp16(x, self._high)
        if self._low is not None:
            y.add_(torch.ops.quantized.linear_dynamic_fp16(x, self._low), alpha=1 / _LOW)
        return y if self._unit == 1 else y.mul_(self._unit)


class _Int8:
    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        scale = weight.abs().amax(1).clamp(min=1e-12) / 127
        with warnings.catch_warnings():  # see _has_operators
            warnings.simplefilter("ignore", UserWarning)
            packed = torch.quantize_per_channel(
                weight, scale, torch.zeros_like(scale, dtype=torch.int64), 0, torch.qint8
            )
        self._packed = torch.ops.quantized.linear_prepack(packed, None)
        self._bias = None if bias is None else bias.float()

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        # The kernel has one scale for all rows, so each is divided by its largest entry. A row of zeros becomes one of
        # NaN, of which the kernel makes some integers, and zeros again when they are multiplied.
        largest = x.abs().amax(-1, keepdim=True)
        product = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32
        y: torch.Tensor = product(x / largest, _STEP, _ZERO, self._packed)
        return y.mul_(largest) if self._bias is None else torch.addcmul(self._bias, y, largest)
