"""Whether a database is whole: what SQLite can see, and what only fate knows must hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, get_args

import numpy as np

from fate.core.choice import DecisionKind, FinishReason
from fate.core.sampling import SamplerSettings
from fate.store import Store
from fate.store.records import Record, Row
from fate.store.tensors import views

# (sha256 of a tokenizer, prompt ids, ids) → what the ids spell after the prompt, and alone; None for another tokenizer
Spell = Callable[[str, Sequence[int], Sequence[int]], str | None]

_TAKES = ("chosen", "edited", "written")
_FLOATS = ("uniforms", "logprobs", "warped_logprobs")


def check(store: Store, spell: Spell = lambda *_: None) -> Iterator[str]:
    """A sentence for every row that is not as it must be; none for a sound database.

    ``spell`` gives the text of token ids, where the model that wrote them is at hand.
    """
    yield from (f"SQLite: {line}." for (line,) in store.query("PRAGMA integrity_check") if line != "ok")
    for table, rowid, other, _ in store.query("PRAGMA foreign_key_check"):
        yield f"{table} row {rowid} refers to a row of {other} that is not there."
    for story_id, tip_id in store.query(
        "SELECT s.id, s.tip_id FROM story s JOIN candidate c ON c.id = s.tip_id JOIN choice ON choice.id = c.choice_id "
        "WHERE choice.story_id <> s.id"
    ):
        yield f"story {story_id} stands at candidate {tip_id} of another story."
    for (choice_id,) in store.query(
        "SELECT h.id FROM choice h "
        "LEFT JOIN candidate c ON c.id = h.parent_id LEFT JOIN choice p ON p.id = c.choice_id "
        "WHERE h.parent_id IS NOT NULL AND (p.story_id <> h.story_id OR p.step + 1 <> h.step) "
        "OR h.parent_id IS NULL AND h.step <> 0"
    ):
        yield f"choice {choice_id} is not one step after the candidate that it continues."
    for record in store.records():
        yield from _choice(record, spell)


def _choice(record: Record, spell: Spell) -> Iterator[str]:
    choice, name = record.choice, f"choice {record.choice['id']}"
    prompt_ids = _arrays(choice["input_tensors"]).get("input_ids")
    mask = _arrays(choice["input_tensors"]).get("attention_mask")
    if prompt_ids is None or mask is None or not prompt_ids.size or prompt_ids.shape != mask.shape:
        yield f"{name} has input_tensors that do not hold input_ids and attention_mask."
        prompt_ids = None
    tokenizer = record.model["tokenizer_sha256"]
    if prompt_ids is not None and spell(tokenizer, (), prompt_ids.tolist()) not in (None, choice["prompt"]):
        yield f"{name} has a prompt that is not what its input_ids spell."
    generated = [c for c in record.candidates if c["origin"] == "generated"]
    if len(generated) != 3 or {c["position"] for c in generated} != {0, 1, 2}:
        yield f"{name} has {len(generated)} generated candidates, not three in places 0 to 2."
    for candidate in generated:
        problem = _generated(candidate)
        if problem is None and prompt_ids is not None:
            kept = _arrays(candidate["output_tensors"])["output_ids"][: candidate["kept"]]
            if spell(tokenizer, prompt_ids.tolist(), kept.tolist()) not in (None, candidate["text"]):
                problem = "a text that is not what its kept output_ids spell"
        if problem:
            yield f"candidate {candidate['id']} has {problem}."
    own = {candidate["id"] for candidate in record.candidates}
    for candidate in record.candidates:
        if candidate["origin"] not in ("generated", "edited", "written"):
            yield f"candidate {candidate['id']} has an unknown origin, {candidate['origin']}."
        elif (candidate["origin"] == "edited") != (candidate["draft_id"] is not None):
            yield f"candidate {candidate['id']} is {candidate['origin']} and its draft is {candidate['draft_id']}."
        elif candidate["draft_id"] not in {None, *own}:
            yield f"candidate {candidate['id']} has a draft in another choice."
    for decision in record.decisions:
        if decision["kind"] not in get_args(DecisionKind):
            yield f"decision {decision['id']} has an unknown kind, {decision['kind']}."
        elif (decision["kind"] in _TAKES) != (decision["candidate_id"] is not None):
            yield f"decision {decision['id']} is {decision['kind']} and its candidate is {decision['candidate_id']}."
        elif decision["candidate_id"] not in {None, *own}:
            yield f"decision {decision['id']} takes a candidate of another choice."


def _generated(candidate: Row) -> str | None:
    """What is wrong with a generated candidate by itself."""
    arrays = _arrays(candidate["output_tensors"])
    if not {"output_ids", *_FLOATS} <= arrays.keys() or len({array.size for array in arrays.values()}) != 1:
        return "output_tensors that do not hold output_ids and as many " + ", ".join(_FLOATS)
    if not 0 <= candidate["kept"] <= arrays["output_ids"].size:
        return f"{candidate['kept']} tokens kept of {arrays['output_ids'].size}"
    if not all(np.isfinite(arrays[name]).all() for name in _FLOATS):
        return "a number that is not finite"
    if candidate["finish_reason"] not in get_args(FinishReason):
        return f"an unknown finish_reason, {candidate['finish_reason']}"
    try:
        SamplerSettings(**{name: candidate[name] for name in SamplerSettings.__dataclass_fields__})
    except ValueError as error:
        return f"settings that cannot be: {error}"
    return None


def _arrays(data: bytes | None) -> dict[str, np.ndarray[Any, Any]]:
    try:
        return views(data or b"")
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
