"""Which products with a model's weights a test is about."""

import pytest

from fate.engine import kernels, native


def only(whose, monkeypatch):
    """Let ``linear`` take the products of one kind (see ``kernels.products``), or skip the test."""
    if whose != "native":
        monkeypatch.setattr(native, "library", lambda: None)
    if whose == "torch":
        monkeypatch.setattr(kernels, "_OPERATORS", ("one_that_is_gone",))
    for precision in ("float32", "float16", "int8"):
        if kernels.products(precision) != whose:
            pytest.skip(f"this machine has no {whose} products with weights in {precision}")
