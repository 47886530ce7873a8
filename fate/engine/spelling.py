"""What token ids spell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_TAIL = 16  # prompt tokens that are decoded with a continuation, so that its first space is not lost


def decode(tokenizer: Any, ids: Sequence[int]) -> str:
    """The text of token ids, without special tokens; exactly as generated, no space tidied."""
    text: str = tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return text


class TextAfter:
    """The text that token ids add to a prompt."""

    def __init__(self, tokenizer: Any, prompt_ids: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        self._tail = tuple(prompt_ids[-_TAIL:])
        self._before = len(decode(tokenizer, self._tail))

    def __call__(self, ids: Sequence[int]) -> str:
        return decode(self._tokenizer, (*self._tail, *ids))[self._before :]


def text_after(tokenizer: Any, prompt_ids: Sequence[int], ids: Sequence[int]) -> str:
    """The text that token ids add to a prompt; see TextAfter."""
    return TextAfter(tokenizer, prompt_ids)(ids)
