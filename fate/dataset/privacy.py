"""Personal data and repeated texts: what to look at before a dataset is published."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

_EMAIL = re.compile(r"(?<![\w.+'-])[\w.+'-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5}")
_HANDLE = re.compile(r"(?<![\w@/.])@[A-Za-z_]\w{2,30}\b")
_DIGITS = re.compile(
    r"(?<![\w.,$€£])[+(]?\d[\d ()./-]{5,20}\d(?!\w|[.,]\d)"
)  # what may be a phone number, see _is_phone
_HINT = re.compile(r"@|\d{3}")  # a text without either holds none of the three

# A number is taken for a phone's if it is written like one; dates, sums, counts and addresses of the net are not.
_PHONES = re.compile(
    r"""
      \+ \d [\d ()./-]+                                  # +44 (0)20 7946 0958
    | (?:1[ .-])? \( \d{2,5} \) [ .-]? \d [\d .-]{4,}    # (555) 123-4567
    | 0 \d{1,4} [ /-]? \d [\d -]{5,}                     # 0170 1234567, 07700 900123
    | (?:1[ .-])? \d{3} ([ .-]) \d{3} \1 \d{4}           # 1-800-555-0199
    | [2-9] \d{9}                                        # 5551234567
    | \d{3} - \d{4}                                      # 555-0142
    """,
    re.VERBOSE,
)
_NO_PHONE = re.compile(r"\d{1,2}[./-]\d{1,2}[./-]\d{2,4}|\d{4}-\d{2}-\d{2}|\d{1,3}(?:\.\d{1,3}){3}|[1-9]\d*0{4,}")


def redacted(text: str) -> str:
    """A text in which personal data has given way to placeholders."""
    if not _HINT.search(text):
        return text
    text = _EMAIL.sub("[EMAIL]", text)
    text = _DIGITS.sub(lambda found: "[PHONE]" if _is_phone(found[0]) else found[0], text)
    return _HANDLE.sub("[HANDLE]", text)


def personal_data(text: str) -> Iterator[tuple[str, str]]:
    """(kind, found) for all that ``redacted`` replaces."""
    if _HINT.search(text):
        yield from (("e-mail addresses", found) for found in _EMAIL.findall(text))
        yield from (("phone numbers", found) for found in _DIGITS.findall(text) if _is_phone(found))
        yield from (("handles", found) for found in _HANDLE.findall(_EMAIL.sub("", text)))


def _is_phone(number: str) -> bool:
    digits = sum(map(str.isdigit, number))
    return 7 <= digits <= 15 and bool(_PHONES.fullmatch(number)) and not _NO_PHONE.fullmatch(number)


class Findings:
    """Counts different things in memory that does not grow with them: what was seen is in a file.

    Texts are the same here if they have the same words, in whatever case and punctuation.
    """

    def __init__(self, scratch: Path) -> None:
        self._texts = 0
        self._waiting: list[tuple[str, bytes]] = []
        self._seen = sqlite3.connect(scratch, isolation_level=None)
        self._seen.execute("PRAGMA journal_mode=OFF")
        self._seen.execute("PRAGMA synchronous=OFF")
        self._seen.execute("CREATE TABLE seen (kind TEXT, thing BLOB, PRIMARY KEY (kind, thing)) WITHOUT ROWID")

    def look_at(self, texts: Iterable[str], more: Iterable[str]) -> None:
        """``texts`` can repeat each other; of ``more``, which repeats them anyway, only personal data count."""
        for text in texts:
            self._texts += 1
            self._see("texts", " ".join(text.casefold().translate(_PUNCTUATION).split()))
            for kind, found in personal_data(text):
                self._see(kind, found)
        for text in more:
            for kind, found in personal_data(text):
                self._see(kind, found)
        if len(self._waiting) > 10_000:
            self._write()

    def close(self) -> None:
        """Count; ``scratch`` is no longer needed then."""
        self._write()
        different = dict(self._seen.execute("SELECT kind, count(*) FROM seen GROUP BY kind").fetchall())
        self._seen.close()
        self.repeated = self._texts - different.pop("texts", 0)
        self.personal: dict[str, int] = different

    def sentences(self) -> list[str]:
        """The report, a line for each kind."""
        found = (f"{self.personal.get(name, 0):,} {name}" for name in ("e-mail addresses", "phone numbers", "handles"))
        return [f"Personal data: {', '.join(found)}.", f"Repeated texts: {self.repeated:,} of {self._texts:,}."]

    def _see(self, kind: str, thing: str) -> None:
        self._waiting.append((kind, hashlib.blake2b(thing.encode(errors="replace"), digest_size=12).digest()))

    def _write(self) -> None:
        self._seen.execute("BEGIN")
        self._seen.executemany("INSERT OR IGNORE INTO seen VALUES (?, ?)", self._waiting)
        self._seen.execute("COMMIT")
        self._waiting.clear()


_PUNCTUATION = dict.fromkeys(map(ord, ".,;:!?'\"()[]-\u2013\u2014\u2026\u2018\u2019\u201c\u201d"), " ")
