"""What token ids spell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_TAIL = 16  # prompt tokens that are decoded with a continuation, so that its first space is not lost


def decode(tokenizer: Any, ids: Sequence[int]) -> str:
    """The text of token ids, without special tokens; exactly as generated, no space tidied."""
    text: str = tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return text


def text_after(tokenizer: Any, prompt_ids: Sequence[int], ids: Sequence[int]) -> str:
    """The text that token ids add to a prompt."""
    tail = tuple(prompt_ids[-_TAIL:])
    return decode(tokenizer, (*tail, *ids))[len(decode(tokenizer, tail)) :]
