"""Where things are: what comes with fate, and what the reader makes with it."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_data_path


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
