"""What stands before a story in a prompt: a model's start token, or the template of one that was tuned to chat."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fate.engine.hub import EngineError

Chat = Literal["auto", "on", "off"]

INSTRUCTION = (
    "Write a long story in vivid prose. Write nothing but the story itself: no title, no headings and no remarks. "
    "Do not bring it to an end."
)
# Models of Together's chat line have this form on their cards and no template in their files.
_HUMAN_AND_BOT = (
    "{% for m in messages %}{{ '<human>: ' if m.role == 'user' else '<bot>: ' }}{{ m.content }}"
    "{{ '' if loop.last else '\\n' }}{% endfor %}"
)
_HUMAN = "\n<human>:"
_OF_THAT_LINE = re.compile(r"redpajama-incite.*chat|(pythia|gpt-neoxt)-chat-base", re.IGNORECASE)
_BASE = re.compile(r"(^|[-_])(base|pt)([-_]|$)", re.IGNORECASE)
_ANSWER = "STORY-BEGINS-HERE"


@dataclass(frozen=True)
class Preamble:
    """The tokens before a story.

    Attributes:
        start: before a story that is read from its first word.
        kept: before one whose beginning the window has cut off; ``start``, or nothing where a model takes a text
            without its start token for the middle of a story.
        template: the words of a chat template that are in ``start``; empty for a model that goes on from any text.
        turn: what a model writes where its answer is over and it goes on with the person's next words; empty for a
            template that has a token for that.
    """

    start: tuple[int, ...] = ()
    kept: tuple[int, ...] = ()
    template: str = ""
    turn: str = ""

    def story(self, prompt_ids: Sequence[int]) -> tuple[int, ...]:
        """A prompt without the template."""
        ids = tuple(prompt_ids)
        return ids[len(self.start) :] if self.template and ids[: len(self.start)] == self.start else ids


def preamble_of(name: str, tokenizer: Any, chat: Chat = "auto", window_without_start: bool = False) -> Preamble:
    """What has to stand before a story for this model.

    A model that was tuned to chat is asked for a story, and the story is the beginning of its answer: what it writes
    goes on from there. With ``auto`` a template is used where the tokenizer has one, or the name is of a line that is
    known, and the name does not say that it is a base model; ``on`` demands one.

    Raises EngineError where there is no template although one is demanded, or it cannot be used.
    """
    of_that_line = bool(_OF_THAT_LINE.search(name))
    if chat == "on" and not (tokenizer.chat_template or of_that_line):
        raise EngineError(f'{name} has no chat template; leave the setting chat at "auto".')
    tuned = of_that_line or (tokenizer.chat_template and not _BASE.search(name.rpartition("/")[2]))
    if chat == "on" or (chat == "auto" and tuned):
        words = _before_answer(name, tokenizer, None if tokenizer.chat_template else _HUMAN_AND_BOT)
        ids = tuple(tokenizer(words, add_special_tokens=False)["input_ids"])
        return Preamble(ids, ids, words, "" if tokenizer.chat_template else _HUMAN)
    start = _start_tokens(tokenizer)
    return Preamble(start, () if window_without_start else start)


def _before_answer(name: str, tokenizer: Any, template: str | None) -> str:
    """The words of a conversation up to where the model's first answer begins."""
    messages = [{"role": "user", "content": INSTRUCTION}, {"role": "assistant", "content": _ANSWER}]
    try:
        whole: str = tokenizer.apply_chat_template(
            messages, chat_template=template, tokenize=False, enable_thinking=False
        )
    except Exception as error:  # a template is a program: it can fail in any way
        raise EngineError(
            f'The chat template of {name} cannot be used ({" ".join(str(error).split())[:160]}); set chat = "off".'
        ) from error
    before, found, _ = whole.partition(_ANSWER)
    if not found:
        raise EngineError(f'The chat template of {name} leaves out what it should hold; set chat = "off".')
    return before


def _start_tokens(tokenizer: Any) -> tuple[int, ...]:
    """The special tokens that a tokenizer puts before any text."""
    plain = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    starts = (i for i in range(len(whole)) if whole[i : i + len(plain)] == plain)
    return tuple(whole[: next(starts, 0)])
