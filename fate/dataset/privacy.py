"""Personal data in texts: found, and replaced."""

from __future__ import annotations

import re
from collections.abc import Iterator

KINDS = ("e-mail addresses", "phone numbers", "handles")

_EMAIL = re.compile(r"(?<![\w.+'-])[\w.+'-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5}")
_HANDLE = re.compile(r"(?<![\w@/.])@[A-Za-z_]\w{2,30}\b")
_DIGITS = re.compile(
    r"(?<![\w.,$€£])[+(]?\d[\d ()./-]{5,20}\d(?!\w|[.,]\d)"
)  # what may be a phone number, see _is_phone
_HINT = re.compile(r"[@\d]")  # a text without either holds none of the three

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
