"""Personal data and repeated texts: what to look at before a dataset is published."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

# What is found, and the word that takes its place. A phone number has at least nine digits and a plus, brackets or
# separators, so that a year, a price or a long count in a story is none.
PATTERNS = {
    "e-mail addresses": (re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b"), "[EMAIL]"),
    "phone numbers": (
        re.compile(r"(?<![\w.])(?:\+\d{1,3}[ .-]?)?(?:\(\d{2,4}\)[ .-]?)?\d{2,4}(?:[ .-]\d{2,4}){2,4}(?![\w.]?\w)"),
        "[PHONE]",
    ),
    "handles": (re.compile(r"(?<![\w@/.])@[A-Za-z_]\w{2,}"), "[HANDLE]"),
}


_HINT = re.compile(r"[@\d]")  # without one of these, a text matches none of the patterns
_PUNCTUATION = dict.fromkeys(map(ord, ".,;:!?'\"()[]-\u2013\u2014\u2026\u2018\u2019\u201c\u201d"), " ")


def redacted(text: str) -> str:
    """A text in which personal data has given way to placeholders."""
    for pattern, placeholder in PATTERNS.values():
        text = pattern.sub(placeholder, text)
    return text


class Findings:
    """Counts what texts hold, in memory that does not grow with them; repeated texts are counted in a file.

    Two texts are the same here if they have the same words, in whatever case and punctuation.
    """

    def __init__(self, scratch: Path) -> None:
        self.personal: Counter[str] = Counter()
        self.texts = self.repeated = 0
        self._waiting: list[tuple[bytes]] = []
        self._seen = sqlite3.connect(scratch, isolation_level=None)
        self._seen.execute("PRAGMA journal_mode=OFF")
        self._seen.execute("PRAGMA synchronous=OFF")
        self._seen.execute("CREATE TABLE seen (words BLOB PRIMARY KEY) WITHOUT ROWID")

    def look_at(self, texts: Iterable[str]) -> None:
        for text in texts:
            if _HINT.search(text):
                for name, (pattern, _) in PATTERNS.items():
                    self.personal[name] += len(pattern.findall(text))
            words = " ".join(text.casefold().translate(_PUNCTUATION).split())
            self._waiting.append((hashlib.blake2b(words.encode(), digest_size=12).digest(),))
        if len(self._waiting) > 10_000:
            self._count()

    def close(self) -> None:
        self._count()
        self._seen.close()

    def _count(self) -> None:
        before = self._seen.total_changes
        self._seen.execute("BEGIN")
        self._seen.executemany("INSERT OR IGNORE INTO seen VALUES (?)", self._waiting)
        self._seen.execute("COMMIT")
        self.texts += len(self._waiting)
        self.repeated += len(self._waiting) - (self._seen.total_changes - before)
        self._waiting.clear()

    def sentences(self) -> list[str]:
        """The report, a line for each kind."""
        found = [f"{self.personal[name]:,} {name}" for name in PATTERNS]
        return [f"Personal data: {', '.join(found)}.", f"Repeated texts: {self.repeated:,} of {self.texts:,}."]
