"""Text that a model or a reader wrote: made harmless for a terminal, and in words."""

from __future__ import annotations

import re
import unicodedata

# Marks that turn the direction of what follows, the screen's own text included, or break its lines.
_TURNING = {chr(code) for code in (0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))}

# Parts of emoji that one terminal joins to what stands before them and another shows beside it.
_JOINED = re.compile("[\ufe0e\ufe0f\U0001f3fb-\U0001f3ff]|(?<=[\u2190-\u2bff\U0001f000-\U0001faff\ufe0f])\u200d")


def harmless(text: str) -> str:
    """The text with control characters shown as pictures (␛ for escape) instead of obeyed."""
    return "".join(_shown(character) for character in text)


def one_line(text: str) -> str:
    """The text, harmless, with ␊ for the end of a line."""
    return harmless(text).replace("\n", "␊")


def as_shown(text: str) -> str:
    """The text, harmless, and no wider in any terminal than in another: what an emoji is joined from stands apart."""
    return _JOINED.sub("", harmless(text))


def words(text: str) -> list[str]:
    """The words of a text in small letters, without punctuation."""
    return re.findall(r"[\w']+", text.lower())


def _shown(character: str) -> str:
    if character == "\n":
        return character
    if character == "\t":
        return "    "
    if character in _TURNING or unicodedata.category(character) in ("Cc", "Cs"):
        code = ord(character)
        return chr(0x2400 + code) if code < 0x20 else "␡" if code == 0x7F else "\ufffd"
    return character
