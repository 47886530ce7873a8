"""What the screens remember from one start to the next: the theme that was picked."""

from __future__ import annotations

import contextlib
import json
import os

from fate.paths import home


def remembered() -> dict[str, str]:
    """All of it; nothing where there is no file that can be read."""
    try:
        found = json.loads((home() / "state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def remember(**what: str) -> None:
    """Keep it; where nothing can be written, it is forgotten."""
    with contextlib.suppress(OSError):
        home().mkdir(parents=True, exist_ok=True)
        part = home() / "state.json.part"
        part.write_text(json.dumps({**remembered(), **what}), encoding="utf-8")
        os.replace(part, home() / "state.json")
