"""Whose products with a model's weights the tests of an engine are about."""

import pytest

from tests.products import only


@pytest.fixture(params=["native", "fbgemm", "torch"])
def whose(request, monkeypatch):
    """Every kind; with native products a lean forward takes the native pass."""
    only(request.param, monkeypatch)


@pytest.fixture(params=["native", "fbgemm"])
def narrow(request, monkeypatch):
    """Those that read 16-bit and 8-bit weights beside fp32 activations."""
    only(request.param, monkeypatch)
