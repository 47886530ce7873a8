"""Personal data and repeated texts: what to look at before a dataset is published."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

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
        self.texts = 0
        self._seen = sqlite3.connect(scratch, isolation_level=None)
        self._seen.execute("PRAGMA journal_mode=OFF")
        self._seen.execute("PRAGMA synchronous=OFF")
        self._seen.execute("CREATE TABLE seen (words BLOB PRIMARY KEY) WITHOUT ROWID")
        self._seen.execute("BEGIN")
        self.repeated = 0

    def look_at(self, texts: Iterable[str]) -> None:
        for text in texts:
            self.texts += 1
            for name, (pattern, _) in PATTERNS.items():
                found = sum(1 for _ in pattern.finditer(text))
                if found:
                    self.personal[name] += found
            words = " ".join(re.findall(r"\w+", text.casefold()))
            key = hashlib.blake2b(words.encode(), digest_size=12).digest()
            added: Any = self._seen.execute("INSERT OR IGNORE INTO seen VALUES (?)", (key,))
            self.repeated += added.rowcount == 0

    def close(self) -> None:
        self._seen.close()

    def sentences(self) -> list[str]:
        """The report, a line for each kind."""
        found = [f"{self.personal[name]:,} {name}" for name in PATTERNS]
        return [f"Personal data: {', '.join(found)}.", f"Repeated texts: {self.repeated:,} of {self.texts:,}."]
