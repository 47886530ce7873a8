import json
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from fate.engine.tokenizing import PlainTokenizer, read_tokenizer
from fate.paths import storyteller

THEIRS = AutoTokenizer.from_pretrained(storyteller())
OURS = read_tokenizer(storyteller())
texts = st.one_of(
    st.text(max_size=60), st.sampled_from(["", " ", "She said <|endoftext|> and left.", "\n\nEnd. <|endoftext|>"])
)


@given(texts, st.booleans(), st.booleans())
def test_a_plain_tokenizer_reads_as_transformers_does(text, special, split):
    assert isinstance(OURS, PlainTokenizer)
    ours = OURS(text, add_special_tokens=special, split_special_tokens=split)["input_ids"]
    assert ours == THEIRS(text, add_special_tokens=special, split_special_tokens=split)["input_ids"]


@given(st.lists(st.integers(0, len(THEIRS) - 1), max_size=20), st.booleans())
def test_a_plain_tokenizer_writes_as_transformers_does(ids, skip):
    options = {"skip_special_tokens": skip, "clean_up_tokenization_spaces": False}
    assert OURS.decode(ids, **options) == THEIRS.decode(ids, **options)


def test_a_plain_tokenizer_has_the_same_size_and_ends():
    assert len(OURS) == len(THEIRS)
    assert (OURS.bos_token_id, OURS.eos_token_id) == (THEIRS.bos_token_id, THEIRS.eos_token_id)


@pytest.mark.parametrize(
    "settings",
    [
        {"tokenizer_class": "LlamaTokenizer"},
        {"add_bos_token": True},
        {"clean_up_tokenization_spaces": True},
        {"chat_template": "{{ messages }}"},
    ],
)
def test_where_more_than_one_file_has_a_say_transformers_reads_it(tmp_path, settings):
    for name in ("tokenizer.json", "tokenizer_config.json", "config.json"):
        shutil.copy(storyteller() / name, tmp_path)
    file = tmp_path / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))
    assert not isinstance(read_tokenizer(tmp_path), PlainTokenizer)


def test_a_tokenizer_with_a_template_beside_it_is_read_by_transformers(tmp_path):
    for name in ("tokenizer.json", "tokenizer_config.json", "config.json"):
        shutil.copy(storyteller() / name, tmp_path)
    (tmp_path / "chat_template.jinja").write_text("{{ messages }}")
    assert read_tokenizer(tmp_path).chat_template == "{{ messages }}"
