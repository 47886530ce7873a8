"""The openings that come with fate."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass

from fate.paths import packaged


@dataclass(frozen=True, slots=True)
class Opening:
    """How a story can begin."""

    genre: str
    text: str


def openings() -> list[Opening]:
    """All of ``data/openings.toml``, in its order."""
    with packaged("openings.toml").open("rb") as file:
        return [Opening(entry["genre"], entry["text"].strip()) for entry in tomllib.load(file)["opening"]]
