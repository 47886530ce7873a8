"""The scripts beside the embedded storyteller, as modules."""

import importlib
import sys

import pytest

from fate.paths import packaged


@pytest.fixture(scope="module")
def train():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(packaged("storyteller"))
        yield importlib.import_module("train")
        for name in ("train", "preferences"):
            del sys.modules[name]


@pytest.fixture(scope="module")
def candidates(train):
    yield importlib.import_module("candidates")
    del sys.modules["candidates"]


@pytest.fixture(scope="module")
def preferences(train):
    return sys.modules["preferences"]
