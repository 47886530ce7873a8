"""The sha256 of a model's files, taken once for each state of a file."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from fate.paths import home


def fingerprint(files: Sequence[Path]) -> str:
    """The sha256 over the sha256 of each file, in their order.

    Gigabytes are read only once: a file whose size and modification time are known keeps its hash.
    """
    known = _read()
    whole = hashlib.sha256()
    fresh = {}
    for file in files:
        state = file.stat()
        key = f"{file.resolve()} {state.st_size} {state.st_mtime_ns}"
        if key not in known:
            with file.open("rb") as opened:
                fresh[key] = hashlib.file_digest(opened, "sha256").hexdigest()
        whole.update(bytes.fromhex(known.get(key) or fresh[key]))
    if fresh:
        _write(known | fresh)
    return whole.hexdigest()


def _file() -> Path:
    return home() / "fingerprints.json"


def _read() -> dict[str, str]:
    try:
        known = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _write(known: dict[str, str]) -> None:
    """Keep the hashes; without a folder to write to, they are taken anew next time."""
    with contextlib.suppress(OSError):
        _file().parent.mkdir(parents=True, exist_ok=True)
        part = _file().with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(known), encoding="utf-8")
        os.replace(part, _file())
