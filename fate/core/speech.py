"""Who speaks in a story, as far as the words beside a quotation tell; of English prose only."""

from __future__ import annotations

import re
from typing import NamedTuple

_SAY = (
    r"(?:(?:add|answer|ask|bark|bellow|call|chuckle|demand|exclaim|explain|giggle|growl|inquire|mumble|murmur|mutter|"
    r"respond|roar|scream|shout|sigh|snap|stammer|wail|whisper|wonder|yell)(?:e?d|s)?|(?:cr|repl)(?:ied|ies)|sa(?:id|ys))"
)
_QUOTATION = r'["“][^"“”]*'
_TITLE = r"(?:Mr|Mrs|Ms|Dr)"
_CLAUSE = rf'(?P<clause>(?:{_TITLE}\.|[^"“”.!?])+)'
_BEFORE = rf"{_CLAUSE}[.,:]\s+{_QUOTATION}"
_AFTER = rf'{_QUOTATION}["”]\s+{_CLAUSE}'
_SAID_BEFORE = re.compile(rf'{_BEFORE}(?P<end>[.!?])["”]\s*$')
_SAID_AFTER = re.compile(rf'{_QUOTATION}(?P<end>[.,!?])["”]\s+{_CLAUSE}[.!?]?\s*$')
_SAYS_BEFORE, _SAYS_AFTER = re.compile(_BEFORE), re.compile(_AFTER)
_ANSWER = re.compile(
    r"(?:I don['’]t know|Me too|No|Of course|O[Kk](?:ay)?|Sure|Thank|That(?:['’]s| is)|Yes|You['’]re welcome)\b"
)
_ANOTHER = re.compile(r", (?:and|because|but|so)\b")  # somebody else may have the next word
_SUBJECT = re.compile(rf"{_SAY}\s+(.+)|((?:[\w'’.-]+ ){{1,8}}?){_SAY}\b", re.DOTALL)
_ACTS = re.compile(r"((?:[\w'’-]+ ){1,4}?)(?:\w+ed|felt|leant|sat|shook|stood|thought|took|was)\b")
# Where the words that name somebody end: "the old man with the hat", "the girl, smiling".
_END = re.compile(
    r"[^\w'’. -]| (?:about|after|and|as|at|before|behind|beside|by|for|from|in|into|of|on|opposite|over|through|to|"
    r"under|when|while|who|with)\b"
)
_ARTICLES = {"a", "an", "her", "his", "my", "our", "the", "their", "your"}
_REACH = 400  # characters of a story's end, and of a text's beginning, that are looked at: more would take long
_PRONOUNS = {"he", "her", "him", "it", "me", "one", "she", "them", "they", "us", "we", "you"}


class Said(NamedTuple):
    """Who said what a story ends with: the last word of what they are called, in small letters; and if they asked."""

    who: str
    asked: bool


def last_said(story: str) -> Said | None:
    """None where a story does not end with speech and words that tell whose, or only a pronoun other than I."""
    paragraph = story[-_REACH:].rstrip().rpartition("\n")[2]
    who = None
    if found := _SAID_AFTER.search(paragraph):
        who = None if _ANOTHER.search(found["clause"]) else _subject(found["clause"])
    elif found := _SAID_BEFORE.search(paragraph):
        who = _actor(found["clause"])
    return Said(who, found["end"] == "?") if found and who else None


def answers_oneself(said: Said, text: str) -> bool:
    """Whether a text begins with speech of who spoke last, which answers a question or sounds like an answer."""
    text = text[:_REACH].lstrip()
    if found := _SAYS_AFTER.match(text):
        who = _subject(found["clause"])
    elif found := _SAYS_BEFORE.match(text):
        who = _actor(found["clause"])
    else:
        return False
    quotation = re.split('["“]', text, maxsplit=1)[1]
    return who == said.who and (said.asked or bool(_ANSWER.match(quotation)))


def _actor(clause: str) -> str | None:
    """Of "the old man nodded and said"."""
    acts = _ACTS.match(clause.strip())
    return _named(acts[1]) if acts else _subject(clause)


def _subject(clause: str) -> str | None:
    """Of "said the old man", "the old man said softly"; not of "she saw the old man and said"."""
    found = _SUBJECT.match(clause.strip())
    return _named(found[1] or found[2]) if found and not (found[2] and " and " in found[2]) else None


def _named(phrase: str) -> str | None:
    words = _END.split(phrase.strip())[0].split()
    if len(words) > 1 and words[-1].endswith("ly") and words[-1].islower() and words[-2].lower() not in _ARTICLES:
        words.pop()  # "said the old man softly"; but there are butterflies
    if not words or words[-1].lower() in _PRONOUNS | _ARTICLES:
        return None
    titled = len(words) > 1 and re.fullmatch(rf"{_TITLE}\.?", words[0])
    return " ".join(words[:2] if titled else words[-1:]).replace(".", "").lower()
