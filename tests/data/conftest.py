"""The scripts beside the embedded storyteller, as modules."""

import importlib
import sys

import pytest

from fate.paths import packaged


@pytest.fixture(scope="module")
def train():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(packaged("storyteller"))
        for name in ("train", "preferences"):
            patch.delitem(sys.modules, name, raising=False)
        yield importlib.import_module("train")


@pytest.fixture(scope="module")
def preferences(train):
    return sys.modules["preferences"]
