"""What readers preferred, as tokens of the model that is to learn from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fate.core.choice import Text, pairs
from fate.engine import Engine
from fate.store import Store
from fate.store.records import Record, Row
from fate.store.tensors import unpack_inputs, unpack_outputs

PROMPT = 128  # tokens of a story that are read: what lies further back says little of which text is liked
TEXT = 64  # tokens of a text that count; few have more


@dataclass(frozen=True, slots=True)
class Example:
    """What a reader took after a prompt, and what it was preferred to, as token ids."""

    story_id: str
    prompt: tuple[int, ...]
    texts: tuple[tuple[int, ...], ...]  # two at least; the first is the one that was taken


def examples(store: Store, engine: Engine, annotators: Sequence[str] = ()) -> list[Example]:
    """Every preference that follows from a standing decision, as in the config ``pairs``; those of one choice together.

    Candidates of any model count. What one with the same tokenizer wrote is read by the tokens that it wrote.

    Args:
        store: where the choices are.
        engine: with the model that is to learn; it is asked for tokens only.
        annotators: whose decisions count; everybody's, if there are none.
    """
    return [
        example
        for batch in store.batches(annotators=annotators)
        for record in batch.records()
        for example in _of(record, engine)
    ]


def _of(record: Record, engine: Engine) -> Iterator[Example]:
    rows, story = {row["id"]: row for row in record.candidates}, record.choice["prompt"]
    own = record.model.get("tokenizer_sha256") == engine.info.tokenizer_sha256
    prompt = unpack_inputs(record.choice["input_tensors"]) if own else engine.encode(story)
    kept = engine.preamble.kept
    room = min(PROMPT, engine.context - TEXT - len(kept))
    read = prompt if len(prompt) <= len(kept) + room else (*kept, *prompt[-room:])

    def tokens(text: Text) -> tuple[int, ...]:
        written = own and not text.by_hand
        return (_written(rows[text.id], engine) if written else _spelled(text.text, story, prompt, engine))[:TEXT]

    for decision in record.standing():
        preferred = list(pairs(decision["kind"], decision["candidate_id"], record.texts()))
        texts = tuple(dict.fromkeys(tokens(text) for pair in preferred for text in pair))
        if len(texts) > 1 and all(texts) and read:  # what was cut can have become the same
            yield Example(record.choice["story_id"], read, texts)


def _written(row: Row, engine: Engine) -> tuple[int, ...]:
    """The tokens that a text kept, and the one that ended the story, if it did."""
    ids = tuple(map(int, unpack_outputs(row["output_tensors"])["output_ids"]))
    kept, after = ids[: row["kept"]], ids[row["kept"] :][:1]
    return kept + after if engine.eos_ids.issuperset(after) else kept


def _spelled(text: str, story: str, prompt: tuple[int, ...], engine: Engine) -> tuple[int, ...]:
    """A text as tokens that follow its prompt: where some reach into both, as if it stood alone."""
    whole = engine.encode(story + text)
    if whole[: len(prompt)] == prompt:
        return whole[len(prompt) :]
    return engine.encode(text)[len(engine.preamble.start) :]
