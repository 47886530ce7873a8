"""The models to choose from: the one that comes with fate, those in the local cache, and some on the hub."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import scan_cache_dir
from huggingface_hub.errors import CacheNotFound

from fate import paths
from fate.engine import memory
from fate.engine.hub import EngineError, cached, license_of, weights

CONTEXT = 1024  # tokens for which memory is stated


@dataclass(frozen=True)
class Listed:
    """A model that one could choose."""

    name: str  # hub id; of the embedded one, its own name
    about: str
    license: str | None
    size: memory.Size
    here: int | None = None  # bytes on this disk; None for a model that would be downloaded
    pickle: bool = False  # has no safetensors weights, so it needs --allow-pickle

    def needs(self, precision: str) -> int:
        """Bytes of memory it takes at a context of CONTEXT tokens."""
        return memory.needed(self.size, precision, CONTEXT)


def _known(
    name: str,
    license: str,
    about: str,
    *,
    millions: int,
    embedding: tuple[int, int],
    layers: int,
    heads: int,
    head_dim: int,
    pickle: bool = False,
) -> Listed:
    size = memory.Size(millions * 1_000_000, embedding[0] * embedding[1], 2 * layers * heads * head_dim)
    return Listed(name, about, license, size, pickle=pickle)


# Small models that go on from any text, by size, and those that the original game was played with. Each is of an
# architecture that transformers has, so none needs code of its own. Heads are those of keys and values.
# fmt: off
KNOWN = (
    _known("openai-community/gpt2", "mit", "English",
           millions=124, embedding=(50_257, 768), layers=12, heads=12, head_dim=64),
    _known("HuggingFaceTB/SmolLM2-135M", "apache-2.0", "English",
           millions=135, embedding=(49_152, 576), layers=30, heads=3, head_dim=64),
    _known("HuggingFaceTB/SmolLM2-360M", "apache-2.0", "English",
           millions=362, embedding=(49_152, 960), layers=32, heads=5, head_dim=64),
    _known("EleutherAI/pythia-410m", "apache-2.0", "English; trained in the open on the Pile",
           millions=405, embedding=(50_304, 1_024), layers=24, heads=16, head_dim=64),
    _known("bigscience/bloom-560m", "bigscience-bloom-rail-1.0", "many languages; the original game's",
           millions=559, embedding=(250_880, 1_024), layers=24, heads=16, head_dim=64),
    _known("Qwen/Qwen3-0.6B-Base", "apache-2.0", "119 languages",
           millions=596, embedding=(151_936, 1_024), layers=28, heads=8, head_dim=128),
    _known("HuggingFaceTB/SmolLM2-1.7B", "apache-2.0", "English",
           millions=1_711, embedding=(49_152, 2_048), layers=24, heads=32, head_dim=64),
    _known("Qwen/Qwen3-1.7B-Base", "apache-2.0", "119 languages",
           millions=1_721, embedding=(151_936, 2_048), layers=28, heads=8, head_dim=128),
    _known("togethercomputer/RedPajama-INCITE-Base-3B-v1", "apache-2.0", "English",
           millions=2_776, embedding=(50_432, 2_560), layers=32, heads=32, head_dim=80, pickle=True),
    _known("togethercomputer/RedPajama-INCITE-Chat-3B-v1", "apache-2.0", "English; for chat; the original game's",
           millions=2_776, embedding=(50_432, 2_560), layers=32, heads=32, head_dim=80, pickle=True),
)
# fmt: on


def embedded() -> Listed:
    """The storyteller that comes with fate."""
    folder = paths.storyteller()
    name = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_name"]
    return _of_folder(folder, name, "the storyteller that comes with fate", pickle=False)


def in_cache() -> Iterator[Listed]:
    """The causal language models that lie whole in the local cache of the hub, by name."""
    try:
        repositories = scan_cache_dir().repos
    except CacheNotFound:
        return
    about = {model.name: model.about for model in KNOWN}
    for name in sorted(r.repo_id for r in repositories if r.repo_type == "model"):
        try:
            safe = cached(name)
            folder = safe or cached(name, pickle=True)
            if folder and _writes(folder):
                yield _of_folder(folder, name, about.get(name, ""), pickle=safe is None)
        except (EngineError, OSError, ValueError):  # damaged, or of a kind that nobody foresaw: nothing to choose
            continue


def on_hub(here: set[str]) -> Iterator[Listed]:
    """Models worth a download, but those that are here."""
    yield from (model for model in KNOWN if model.name not in here)


def _writes(folder: Path) -> bool:
    """Whether a model is made to go on from a text."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return any("CausalLM" in name or "LMHead" in name for name in config.get("architectures") or ())


def _of_folder(folder: Path, name: str, about: str, *, pickle: bool) -> Listed:
    files = {file.name for file in folder.iterdir()}
    parts = weights(files, lambda index: (folder / index).read_text(encoding="utf-8"), pickle)
    if parts is None:
        raise EngineError(f"{name} has no weights.")
    on_disk = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
    return Listed(name, about, license_of(folder), memory.size_of(folder, parts), on_disk, pickle)
