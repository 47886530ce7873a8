"""Where a model's files are: in a folder, in the local cache of the Hugging Face hub, or still on the hub.

The cache is asked first, so a model that is here loads without any network. Only what fate reads is downloaded.
"""

from __future__ import annotations

import json
import queue
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from huggingface_hub import HfApi, constants, hf_hub_download, metadata_load, try_to_load_from_cache
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import logging
from huggingface_hub.utils.tqdm import tqdm

from fate.core.errors import FateError

ADVICE = "give a folder with config.json, or a hub id such as bigscience/bloom-560m"
PATIENCE = 6.0  # seconds that the hub has to say what a model consists of
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "merges.txt", "spiece.model")
DESCRIPTIONS = {  # all that fate reads of a model beside its weights
    *TOKENIZER_FILES,
    *("config.json", "generation_config.json", "tokenizer_config.json", "special_tokens_map.json"),
    *("added_tokens.json", "chat_template.jinja", "README.md"),
}

T = TypeVar("T")
Progress = Callable[[str], object]


class EngineError(FateError):
    """A model that cannot be used."""


@dataclass(frozen=True)
class Weights:
    """The files that hold a model's weights, with the index of those that are in several parts."""

    index: str | None
    files: tuple[str, ...]


def find(name: str, *, pickle: bool = False, progress: Progress = lambda _: None) -> Path:
    """The folder of a model that is given as a folder or as a hub id, downloaded if it is not here.

    Args:
        name: folder, or hub id.
        pickle: weights that are not safetensors count too.
        progress: told in a few words how much has come.

    Raises EngineError where there is no such model, or the hub cannot be reached.
    """
    if is_folder(name):
        return Path(name).expanduser()
    return cached(name, pickle=pickle) or _download(name, pickle, progress)


def is_folder(name: str) -> bool:
    """Whether a name is that of a model's folder, and not a hub id. Raises EngineError where it can be neither."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").exists():
            raise EngineError(f"The folder {name} holds no config.json, so it is no model; {ADVICE}.")
        return True
    if folder.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise EngineError(f"There is no folder {name}; {ADVICE}.")
    return False


def cached(name: str, *, pickle: bool = False) -> Path | None:
    """Where a hub id lies in the local cache; None where it does not, or not whole."""
    try:
        config = try_to_load_from_cache(name, "config.json")
    except HFValidationError as error:
        raise EngineError(f"{name!r} is no hub id, nor is there such a folder; {ADVICE}.") from error
    if not isinstance(config, str):
        return None
    folder = Path(config).parent
    here = {file.name for file in folder.iterdir() if file.exists()}  # a link into the cache can lead nowhere
    parts = weights(here, lambda index: (folder / index).read_text(encoding="utf-8"), pickle)
    return folder if parts and here.issuperset(parts.files) and here.intersection(TOKENIZER_FILES) else None


def weights(names: set[str], read: Callable[[str], str], pickle: bool) -> Weights | None:
    """Which of a model's files are its weights; None where none is that may be read.

    ``read`` gives the text of an index, by its name. Raises EngineError where an index says nothing.
    """
    kinds = ["model.safetensors", *(["pytorch_model.bin"] if pickle else [])]
    for whole in kinds:
        if whole in names:
            return Weights(None, (whole,))
        if (index := f"{whole}.index.json") in names:
            try:
                parts = tuple(sorted(set(json.loads(read(index))["weight_map"].values())))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise EngineError(f"The {index} of the model is damaged ({error!r}); fetch it again.") from error
            return Weights(index, parts)
    return None


def license_of(folder: Path) -> str | None:
    """What the header of a model's card states."""
    try:
        header = metadata_load(folder / "README.md") or {}
    except (OSError, ValueError, yaml.YAMLError):  # no card, or one that nobody can read
        return None
    stated = header.get("license_name") or header.get("license")
    return str(stated) if stated else None


def no_weights(name: str) -> EngineError:
    return EngineError(f"{name} has no safetensors weights; if you trust its author, add --allow-pickle.")


def _download(name: str, pickle: bool, progress: Progress) -> Path:
    """Fetch what fate reads of a model into the cache of the hub, the weights last."""
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # its warnings would be written into the screen
    progress("asking the hub")
    try:
        info = _soon(lambda: HfApi().model_info(name, files_metadata=True, timeout=PATIENCE))
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
        if "config.json" not in sizes:
            raise EngineError(f"{name} on the hub holds no config.json, so it is no model that fate can read.")
        parts = weights(
            set(sizes), lambda index: Path(hf_hub_download(name, index)).read_text(encoding="utf-8"), pickle
        )
        if parts is None:
            raise no_weights(name)
        if unknown := sorted(set(parts.files) - set(sizes)):
            raise EngineError(f"{name} is not whole on the hub: {unknown[0]} is missing.")
        wanted = [file for file in sizes if file in DESCRIPTIONS]
        wanted += [*([parts.index] if parts.index else []), *parts.files]
        total = sum(sizes[file] for file in wanted)
        _check_room(name, total)
        return _fetch(name, wanted, sizes, total, progress)
    except EngineError:
        raise
    except Exception as error:  # the hub's own errors, and those of its HTTP library, which has many
        raise EngineError(_sentence(name, error)) from error


def _fetch(name: str, wanted: Sequence[str], sizes: dict[str, int], total: int, progress: Progress) -> Path:
    """Download file after file; leaving the game need not wait for threads that download."""
    done = 0

    class Bytes(tqdm):
        """Takes what a download would show as a bar, and tells it in words."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": True})  # type: ignore[no-untyped-call]
            self._here = int(kwargs.get("initial") or 0)

        def update(self, n: float | None = 1) -> None:
            self._here += int(n or 0)
            progress(f"downloading, {progressed(done + self._here, total)}")

    for file in wanted:
        path = hf_hub_download(name, file, tqdm_class=Bytes)
        done += sizes[file]
    progress(f"downloading, {progressed(done, total)}")
    return Path(path).parent


def progressed(done: int, total: int) -> str:
    """How far something has come, as in ``120 of 540 MB``; units of 1,000."""
    unit, name = (10**9, "GB") if total >= 10**10 else (10**6, "MB") if total >= 10**6 else (10**3, "kB")
    return f"{min(done, total) / unit:,.{int(name == 'GB')}f} of {total / unit:,.{int(name == 'GB')}f} {name}"


def _check_room(name: str, total: int) -> None:
    """Raise EngineError where the disk of the cache has no room for what is to come."""
    folder = Path(constants.HF_HUB_CACHE)
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < total:
        raise EngineError(
            f"{name} takes {total / 1e9:,.1f} GB on the disk and {free / 1e9:,.1f} GB are free in {folder}; "
            "make room, or set HF_HOME to a folder on another disk."
        )


def _soon(ask: Callable[[], T]) -> T:
    """The answer to a question, or TimeoutError after PATIENCE.

    A timeout of the HTTP library counts for one address at a time, and not for finding the addresses.
    """
    answers: queue.Queue[tuple[T | None, Exception | None]] = queue.Queue()

    def work() -> None:
        try:
            answers.put((ask(), None))
        except Exception as error:
            answers.put((None, error))

    threading.Thread(target=work, daemon=True).start()
    try:
        answer, error = answers.get(timeout=PATIENCE)
    except queue.Empty:
        raise TimeoutError(f"no answer within {PATIENCE:.0f} s") from None
    if error:
        raise error
    return answer  # type: ignore[return-value]


def _sentence(name: str, error: Exception) -> str:
    """Why a download failed, in one sentence with a way out."""
    said = " ".join(str(error).split())[:160].rstrip(".")
    if isinstance(error, GatedRepoError):
        return f"{name} is only for those who accept its terms on the hub; do that, then `hf auth login`."
    if isinstance(error, RepositoryNotFoundError):
        return f"The hub knows no model {name}, or keeps it private; check the name, or `hf auth login` first."
    if isinstance(error, OfflineModeIsEnabled):
        return f"{name} is neither a folder here nor in the local cache of the hub, and HF_HUB_OFFLINE is set."
    if isinstance(error, HfHubHTTPError):
        return f"The hub did not give {name} ({said}); try again later."
    return (
        f"{name} is neither a folder here nor in the local cache, and the hub at {constants.ENDPOINT} "
        f"is not within reach ({said or type(error).__name__}); check the name and the network."
    )
