"""Whether a database is whole: what SQLite can see, and what only fate knows must hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, get_args

import numpy as np
from pydantic import ValidationError
from safetensors.numpy import load
from sqlmodel import SQLModel

from fate.core.choice import EXPLAINED, REASONS, DecisionKind, FinishReason
from fate.core.sampling import SamplerSettings
from fate.store import Store, tables
from fate.store.records import Record, Row

# What token ids add to a prompt's, as text.
Spell = Callable[[Sequence[int], Sequence[int]], str]

_TAKES = ("chosen", "edited", "written", "auto")
_FLOATS = ("uniforms", "logprobs", "warped_logprobs")


def check(store: Store, spells: Mapping[str, Spell] | None = None) -> Iterator[str]:
    """A sentence for every row that is not as it must be; none for a sound database.

    ``spells`` has the tokenizers that are at hand by their sha256; texts by others are not looked at.
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
    for record in store.records(deleted=True):
        yield from problems_of(record, spells)


def problems_of(record: Record, spells: Mapping[str, Spell] | None = None) -> Iterator[str]:
    """A sentence for everything about one choice that is not as it must be."""
    of_wrong_type = list(_wrong_types(record))
    yield from of_wrong_type
    if of_wrong_type:  # the rest could not be asked
        return
    spell = (spells or {}).get(record.model["tokenizer_sha256"])
    yield from _prompt(record.choice, spell)
    yield from _candidates(record, spell)
    yield from _decisions(record)


def _wrong_types(record: Record) -> Iterator[str]:
    rows: list[tuple[type[SQLModel], Row]]
    rows = [(tables.Story, record.story), (tables.Model, record.model), (tables.Choice, record.choice)]
    rows += [(tables.Candidate, row) for row in record.candidates]
    rows += [(tables.Decision, row) for row in record.decisions]
    for table, row in rows:
        name = f"{table.__tablename__} {row.get('id')}"
        try:
            table.model_validate(row)
        except ValidationError as error:
            first = error.errors()[0]
            yield f"{name} has a wrong {'.'.join(map(str, first['loc']))}: {first['msg']}."
            continue
        yield from (f"{name} has a {key} beyond what SQLite can hold." for key, n in row.items() if _too_large(n))
        try:
            datetime.fromisoformat(row.get("created_at", "2026-01-01"))
        except ValueError:
            yield f"{name} has a created_at that is no time, {row['created_at']!r}."
    for decision in record.decisions:
        if not isinstance(decision.get("annotator"), str):
            yield f"decision {decision.get('id')} has no annotator."


def _prompt(choice: Row, spell: Spell | None) -> Iterator[str]:
    arrays = _arrays(choice["input_tensors"])
    ids, mask = arrays.get("input_ids"), arrays.get("attention_mask")
    if ids is None or mask is None or not _are_ids(ids, (1, ids.size)) or not np.array_equal(mask, np.ones_like(ids)):
        yield f"choice {choice['id']} has input_tensors that do not hold input_ids and a mask of ones."
    elif spell and _spelled(spell, (), ids[0]) != choice["prompt"]:
        yield f"choice {choice['id']} has a prompt that is not what its input_ids spell."


def _candidates(record: Record, spell: Spell | None) -> Iterator[str]:
    generated = [row for row in record.candidates if row["origin"] == "generated"]
    if len(generated) != 3 or {row["position"] for row in generated} != {0, 1, 2}:
        yield f"choice {record.choice['id']} has {len(generated)} generated candidates, not three in places 0 to 2."
    ids = _arrays(record.choice["input_tensors"]).get("input_ids")
    before = None if ids is None else ids.ravel()
    own = {row["id"] for row in record.candidates}
    for row in record.candidates:
        name = f"candidate {row['id']}"
        if row["choice_id"] != record.choice["id"]:
            yield f"{name} belongs to another choice."
        if row["origin"] == "generated":
            if problem := _generated(row, spell, before):
                yield f"{name} has {problem}."
        elif row["origin"] not in ("edited", "written"):
            yield f"{name} has an unknown origin, {row['origin']}."
        if (row["origin"] == "edited") != (row["draft_id"] is not None):
            yield f"{name} is {row['origin']} and its draft is {row['draft_id']}."
        elif row["draft_id"] not in {None, *own}:
            yield f"{name} has a draft in another choice."


def _generated(row: Row, spell: Spell | None, before: np.ndarray[Any, Any] | None) -> str | None:
    """What is wrong with a candidate that a model wrote."""
    arrays = _arrays(row["output_tensors"])
    ids = arrays.get("output_ids")
    if ids is None or not _are_ids(ids, (ids.size,)) or any(arrays.get(n, ids[:0]).shape != ids.shape for n in _FLOATS):
        return f"output_tensors that do not hold output_ids and as many {', '.join(_FLOATS)}"
    if not all(np.isfinite(arrays[name]).all() for name in _FLOATS):
        return "a number that is not finite"
    nothing = [name for name in tables.Candidate.model_fields if row[name] is None and name != "draft_id"]
    if nothing:
        return f"no {', '.join(nothing)}"
    if not 0 <= row["kept"] <= ids.size:
        return f"{row['kept']} tokens kept of {ids.size}"
    if row["finish_reason"] not in get_args(FinishReason):
        return f"an unknown finish_reason, {row['finish_reason']}"
    try:
        SamplerSettings(**{name: row[name] for name in SamplerSettings.__dataclass_fields__})
    except ValueError as error:
        return f"settings that cannot be: {error}"
    if spell and before is not None and _spelled(spell, before, ids[: row["kept"]]) != row["text"]:
        return "a text that is not what its kept output_ids spell"
    return None


def _decisions(record: Record) -> Iterator[str]:
    own = {row["id"]: row["origin"] for row in record.candidates}
    for row in record.decisions:
        name, kind, taken = f"decision {row['id']}", row["kind"], row["candidate_id"]
        if row["choice_id"] != record.choice["id"]:
            yield f"{name} belongs to another choice."
        if kind not in get_args(DecisionKind):
            yield f"{name} has an unknown kind, {kind}."
        elif (kind in _TAKES) != (taken is not None):
            yield f"{name} is {kind} and its candidate is {taken}."
        elif taken not in {None, *own}:
            yield f"{name} takes a candidate of another choice."
        elif kind in ("chosen", "auto") and own[taken] != "generated":
            yield f"{name} is {kind} and its candidate is {own[taken]}."
        reason = row.get("reason")
        if reason is not None and (kind not in EXPLAINED or reason not in REASONS):
            yield f"{name} is {kind} and its reason is {reason}."


def _arrays(data: bytes | None) -> dict[str, np.ndarray[Any, Any]]:
    try:
        return dict(load(data or b""))
    except Exception:  # safetensors has errors of its own for all that bytes can be
        return {}


def _are_ids(array: np.ndarray[Any, Any], shape: tuple[int, ...]) -> bool:
    return bool(array.dtype == np.int64 and array.shape == shape and array.size and (array >= 0).all())


def _spelled(spell: Spell, before: Sequence[int] | np.ndarray[Any, Any], ids: np.ndarray[Any, Any]) -> str | None:
    try:
        return spell([int(n) for n in before], ids.tolist())
    except (OverflowError, IndexError, TypeError, ValueError):  # ids that are none of the tokenizer's
        return None


def _too_large(value: object) -> bool:
    return isinstance(value, int) and not -(2**63) <= value < 2**63
