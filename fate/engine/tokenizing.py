"""A model's tokenizer: read directly where its files say all, else by transformers, whose import takes seconds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

# The classes that add nothing to tokenizer.json. Others rebuild parts of it from settings of their own.
_PLAIN = {"TokenizersBackend", "PreTrainedTokenizerFast"}
_SETTINGS = {
    *("backend", "bos_token", "eos_token", "pad_token", "unk_token", "clean_up_tokenization_spaces", "is_local"),
    *("local_files_only", "model_max_length", "tokenizer_class", "model_input_names", "padding_side"),
}


def read_tokenizer(folder: Path) -> Any:
    """A tokenizer as transformers has them, or one that answers alike. Raises whatever transformers raises."""
    plain = _read_plain(folder)
    if plain is not None:
        return plain
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


class PlainTokenizer:
    """What fate needs of a tokenizer that is all in its tokenizer.json."""

    chat_template = None

    def __init__(self, tokenizer: Tokenizer, bos_token: str | None, eos_token: str | None) -> None:
        self._tokenizer = tokenizer
        self.bos_token_id = tokenizer.token_to_id(bos_token) if bos_token else None
        self.eos_token_id = tokenizer.token_to_id(eos_token) if eos_token else None

    def __len__(self) -> int:
        return self._tokenizer.get_vocab_size(with_added_tokens=True)

    def __call__(
        self, text: str, add_special_tokens: bool = True, split_special_tokens: bool = False
    ) -> dict[str, list[int]]:
        self._tokenizer.encode_special_tokens = split_special_tokens
        return {"input_ids": self._tokenizer.encode(text, add_special_tokens=add_special_tokens).ids}

    def decode(
        self, ids: Sequence[int], skip_special_tokens: bool = False, clean_up_tokenization_spaces: bool = False
    ) -> str:
        return self._tokenizer.decode(list(ids), skip_special_tokens=skip_special_tokens)


def _read_plain(folder: Path) -> PlainTokenizer | None:
    """None where anything but tokenizer.json has a say in what a text becomes."""
    try:
        settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        if settings["tokenizer_class"] not in _PLAIN or set(settings) - _SETTINGS:
            return None
        if settings.get("clean_up_tokenization_spaces") or any(folder.glob("chat_template*")):
            return None
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        return PlainTokenizer(tokenizer, settings.get("bos_token"), settings.get("eos_token"))
    except Exception:  # tokenizers raises plain Exceptions; transformers says better what is wrong
        return None
