"""A story as a file of its own."""

from __future__ import annotations

from contextlib import suppress
from itertools import count
from pathlib import Path as FilePath
from typing import TYPE_CHECKING

from fate.core.text import harmless

if TYPE_CHECKING:
    from fate.core.story import Path

_LONGEST = 60  # letters of a file's name; four bytes each, and the number after them, are what every disk takes


def write_story(path: Path, suffix: str) -> FilePath:
    """Write a story to a new file where fate was started: ``md`` for Markdown, ``txt`` for plain text.

    A file that is there already stays. Raises OSError where none can be written.
    """
    name = "".join(c if c.isalnum() else "-" for c in path.title)[:_LONGEST].strip("-") or "story"
    # A file is read in terminals too, which what a model wrote must not steer.
    text = harmless(f"{'# ' if suffix == 'md' else ''}{path.title}\n\n{path.text}\n")
    for number in count():
        file = FilePath(f"{name}-{number}.{suffix}" if number else f"{name}.{suffix}")
        with suppress(FileExistsError), file.open("x", encoding="utf-8") as new:  # even two at once are two files
            new.write(text)
            return file
    raise AssertionError("there is always another number")
