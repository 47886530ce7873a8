"""Where things are: what comes with fate, and what the reader makes with it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from platformdirs import user_data_path

from fate.core.errors import FateError


class FolderError(FateError):
    """A folder that cannot be made."""


def packaged(name: str) -> Path:
    """A file or folder of ``data/``: inside the package once installed, beside it in a checkout."""
    package = Path(__file__).parent
    inside = package / "data" / name
    return inside if inside.exists() else package.parent / "data" / name


def home() -> Path:
    """$FATE_HOME, or the platform's folder for a program's data."""
    return Path(os.environ["FATE_HOME"]).expanduser() if os.environ.get("FATE_HOME") else user_data_path("fate")


def storyteller() -> Path:
    """The embedded model."""
    return packaged("storyteller")


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill, hidden beside the one that it becomes once all went well; if not, it is gone.

    Raises FolderError where the folder is there and not empty, or cannot be written, now or in the end.
    """
    whole = folder.resolve()
    part = whole.parent / f".{whole.name}-{uuid4().hex}"
    try:
        if whole.exists() and (not whole.is_dir() or any(whole.iterdir())):
            raise FolderError(f"{folder} exists and is not empty; name a new folder.")
        part.mkdir(parents=True)
    except OSError as error:
        raise FolderError(f"{folder} cannot be written: {error.strerror}; name another folder.") from error
    try:
        yield part
        if whole.exists():
            whole.rmdir()  # it is empty; not everywhere would the other replace it
        part.replace(whole)
    except OSError as error:
        raise FolderError(f"{folder} could not be written: {error.strerror}.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
