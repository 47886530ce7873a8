"""What the screens remember from one start to the next: the theme that was picked, and words that are in no story."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path

from fate.paths import home


def remembered() -> dict[str, str]:
    """All of it but the drafts; nothing where there is no file that can be read."""
    try:
        found = json.loads((home() / "state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def remember(**what: str) -> None:
    """Keep it; where nothing can be written, it is forgotten."""
    _write(home() / "state.json", json.dumps({**remembered(), **what}))


class Draft:
    """Words by hand that are in no story, in a file of their own.

    Args:
        owner: the id of the story that they are for, or of the candidate that they edit.
    """

    def __init__(self, owner: str) -> None:
        self._file = home() / "drafts" / f"{owner}.txt"

    @property
    def text(self) -> str:
        """Nothing where there is none."""
        try:
            return self._file.read_bytes().decode(errors="replace")
        except OSError:
            return ""

    def keep(self, text: str) -> None:
        """Keep it, in the place of what was kept before; of no words, nothing."""
        if text.strip():
            _write(self._file, text)
        else:
            with contextlib.suppress(OSError):
                self._file.unlink(missing_ok=True)

    def taken(self, text: str) -> None:
        """These words are in the story now; others that were written meanwhile are not."""
        if self.text.strip() == text.strip():
            self.keep("")


def _write(file: Path, text: str) -> None:
    """All or nothing, for the reader's eyes only."""
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(dir=file.parent)
        with open(handle, "wb") as stream:
            stream.write(text.encode(errors="replace"))
        os.replace(part, file)
