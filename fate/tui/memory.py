"""What the screens remember from one start to the next: the theme that was picked, and words that are in no story."""

from __future__ import annotations

import contextlib
import json
import os

from fate.paths import home

_STATE, _DRAFTS = "state.json", "drafts.json"


def remembered() -> dict[str, str]:
    """All of it but the drafts; nothing where there is no file that can be read."""
    return _read(_STATE)


def remember(**what: str) -> None:
    """Keep it; where nothing can be written, it is forgotten."""
    _write(_STATE, {**_read(_STATE), **what})


class Drafts:
    """Words by hand that are in no story: by story, or by the candidate that they edit."""

    def __init__(self) -> None:
        self._texts = _read(_DRAFTS)

    def of(self, owner: str) -> str:
        return self._texts.get(owner, "")

    def keep(self, owner: str, text: str) -> None:
        self._texts[owner] = text
        _write(_DRAFTS, self._texts)

    def drop(self, owner: str) -> None:
        if self._texts.pop(owner, None) is not None:
            _write(_DRAFTS, self._texts)


def _read(name: str) -> dict[str, str]:
    try:
        found = json.loads((home() / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def _write(name: str, what: dict[str, str]) -> None:
    with contextlib.suppress(OSError):
        home().mkdir(parents=True, exist_ok=True)
        part = home() / f"{name}.part"
        part.write_text(json.dumps(what), encoding="utf-8")
        os.replace(part, home() / name)
