"""A story's path, and the part of it that a model can read."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from fate.core.sampling import SamplerSettings

StoryState = Literal["active", "archived", "deleted"]


@dataclass(frozen=True, slots=True)
class StorySummary:
    """A line of the library."""

    id: str
    title: str
    steps: int  # choices on the reader's path
    words: int  # in the opening and the passages of that path
    played_at: datetime  # UTC
    state: StoryState = "active"

    @property
    def length(self) -> str:
        words = "1 word" if self.words == 1 else f"{self.words:,} words"
        return f"{'1 choice' if self.steps == 1 else f'{self.steps:,} choices'}, {words}"


@dataclass(frozen=True, slots=True)
class Path:
    """Where the reader stands: the opening and the passages chosen after it."""

    story_id: str
    title: str
    opening: str
    passages: tuple[str, ...]
    tip_id: str | None  # the candidate the path ends with; None at the opening
    ended: bool = False  # the last passage is one with which its model ended the story
    written_with: SamplerSettings | None = None  # the last passage; None at the opening and after one by hand

    @property
    def text(self) -> str:
        return self.opening + "".join(self.passages)


@dataclass(frozen=True, slots=True)
class Branch:
    """A text that was ever offered in a story, or written by hand."""

    id: str
    choice_id: str
    parent_id: str | None  # the branch that its choice continues; None after the opening
    step: int
    text: str
    origin: str  # generated, edited or written
    taken: bool  # whether a decision ever took it


def place_of(story_id: str) -> float:
    """A story's place in [0, 1), even over stories and always the same: what splits of the dataset go by."""
    return int.from_bytes(hashlib.sha256(story_id.encode()).digest()[:8], "big") / 2**64


def title_of(opening: str, longest: int = 48) -> str:
    """A title from the first words of an opening."""
    words = opening.split()
    title = ""
    for word in words:
        if len(title) + len(word) + 1 > longest:
            return (title or word[:longest]).rstrip(".,;:") + "…"
        title = f"{title} {word}".strip()
    return title


def continued(story: str, text: str) -> str:
    """A text by hand as it follows a story: a space stands between them unless one is there.

    Raises ValueError where the text is empty.
    """
    text = text.replace("\r\n", "\n").rstrip()
    if not text:
        raise ValueError("text must not be empty")
    return text if text[0].isspace() or story[-1:].isspace() or not story else f" {text}"


def prompt_window(ids: Sequence[int], window: int, kept: Sequence[int] = ()) -> tuple[int, ...]:
    """The last tokens of a story that fit ``window``, after those that stand before any part of it.

    Once a story is too long, it is cut to three quarters of the window rather than to its edge: the
    window then stays where it is for several choices, and what the engine has read stays read.
    """
    if len(ids) <= window:
        return tuple(ids)
    return (*kept, *ids[-((window - len(kept)) * 3 // 4) :])


def common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    """How many tokens two texts share at their beginning."""
    n = min(len(a), len(b))
    return next((i for i in range(n) if a[i] != b[i]), n)


_SENTENCE_END = re.compile(r"""[.!?…]["'”’)\]]*$|[。！？][」』”’）]*$""")
_ABBREVIATION = re.compile(r"(?:^|[\s\"'“‘(])(?:Mr|Mrs|Ms|Dr|St|Prof|Capt|Col|Gen|Lt|Sgt|Rev|Jr|Sr|vs|No|[A-Z])\.$")


def ends_sentence(text: str, following: str) -> bool:
    """Whether a sentence ends where ``text`` ends and ``following``, the next token's text, begins.

    A sentence does not end after an abbreviation, before a small letter (``"Stop!" said Ann``), or
    inside quotation marks that the paragraph has not closed, unless the paragraph itself ends there.
    """
    if not _SENTENCE_END.search(text):
        return False
    if "\n" in following:
        return True
    if text[-1] in "。！？」』）":
        return following[:1] not in "」』”’）"
    word = following.lstrip()
    if word == following or not word or word[0].islower() or _ABBREVIATION.search(text):
        return False
    return quotations_match(text.rpartition("\n")[2])


def quotations_match(paragraph: str) -> bool:
    """Whether a paragraph closes every quotation that it opens; straight marks, which look alike, come in pairs."""
    return paragraph.count('"') % 2 == 0 and paragraph.count("“") <= paragraph.count("”")
