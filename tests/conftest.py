"""Parts that several tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from fate.store import Store
from tests.tiny_models import FAMILIES, save_tiny_model

settings.register_profile("fate", deadline=None)
settings.load_profile("fate")


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors, because tests of screens and processes wait a good part of their time."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(scope="session")
def tiny_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model folder of each family."""
    base = tmp_path_factory.mktemp("models")
    return {family: save_tiny_model(base / family, family) for family in FAMILIES}


@pytest.fixture(scope="session")
def engines(tiny_folders):
    """An engine of each family, shared by tests that do not look at what it has read before."""
    from fate.engine import load

    return {family: load(str(folder)) for family, folder in tiny_folders.items()}


@pytest.fixture(scope="session")
def transformers_engine(engines, tiny_folders):
    """An engine that runs through transformers' own forward pass."""
    import torch
    from transformers import AutoModelForCausalLM

    from fate.engine import Engine
    from fate.engine.reference import TransformersDecoder

    lean = engines["gpt2"]
    model = AutoModelForCausalLM.from_pretrained(tiny_folders["gpt2"], dtype=torch.float32).eval()
    return Engine(TransformersDecoder(model), lean.tokenizer, lean.info, lean.context, lean.eos_ids)


@pytest.fixture(autouse=True)
def fate_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test sees the reader's own data or settings."""
    home = tmp_path / "home"
    monkeypatch.setenv("FATE_HOME", str(home))
    for name in [name for name in os.environ if name.startswith("FATE_") and name != "FATE_HOME"]:
        monkeypatch.delenv(name)
    return home


@pytest.fixture(autouse=True)
def unshuffled(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Candidates stand in the order of their slots, so that a test can say which text a key takes."""
    if "shuffled" not in request.keywords:
        monkeypatch.setattr("fate.playthrough.shuffled_slots", lambda rng: [0, 1, 2])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A new database, ``fate.db`` in the test's own folder."""
    store = Store(tmp_path / "fate.db")
    yield store
    store.close()
