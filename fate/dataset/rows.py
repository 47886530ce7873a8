"""The rows of each config, and their columns.

``choices`` is everything, word for word, and much; so it is made by column. In the other three, which trainers read,
the white space at the end of a prompt has moved to the beginning of what follows it, where a tokenizer expects it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fate.core.choice import pairs, unpaired
from fate.store.records import Batch, Record, Row
from fate.store.tensors import numbers

_Fields = list[tuple[str, pa.DataType]]
_NUMBERS = (pa.list_(pa.int64()), pa.list_(pa.float64()))

_SETTINGS = [
    ("temperature", pa.float64()),
    ("top_k", pa.int64()),
    ("typical_p", pa.float64()),
    ("muse_top_k", pa.int64()),
    ("muse_damp", pa.float64()),
    ("muse_damp_initial", pa.float64()),
    ("muse_damp_ramp_tokens", pa.int64()),
    ("muse_mode", pa.string()),
    ("min_new_tokens", pa.int64()),
    ("max_new_tokens", pa.int64()),
    ("best_of", pa.int64()),
]
_STORY = [("id", pa.string()), ("title", pa.string()), ("opening", pa.string()), ("created_at", pa.string())]
_MODEL = [
    *((name, pa.string()) for name in ("id", "name", "architecture", "weights_sha256", "tokenizer_sha256")),
    *((name, pa.string()) for name in ("precision", "device")),
    ("threads", pa.int64()),
    ("versions", pa.string()),
    ("license", pa.string()),
]
_CANDIDATE = [
    ("id", pa.string()),
    ("origin", pa.string()),
    ("draft_id", pa.string()),
    ("slot", pa.int64()),
    ("position", pa.int64()),
    ("shown", pa.bool_()),
    ("text", pa.string()),
    *_SETTINGS,
    ("policy", pa.string()),
    ("log_density", pa.float64()),
    ("seed", pa.int64()),
    ("output_ids", pa.list_(pa.int64())),
    ("kept", pa.int64()),
    ("uniforms", pa.list_(pa.float64())),
    ("logprobs", pa.list_(pa.float64())),
    ("warped_logprobs", pa.list_(pa.float64())),
    ("finish_reason", pa.string()),
    ("milliseconds", pa.int64()),
]
_DECISION = [
    *((name, pa.string()) for name in ("id", "kind", "candidate_id", "annotator_id", "annotator")),
    ("milliseconds", pa.int64()),
    ("blind", pa.bool_()),
    ("review", pa.bool_()),
    ("reason", pa.string()),
    ("created_at", pa.string()),
]
_CHOICE = [
    ("id", pa.string()),
    ("story", pa.struct(_STORY)),
    ("parent_id", pa.string()),
    ("step", pa.int64()),
    ("prompt", pa.string()),
    ("input_ids", pa.list_(pa.int64())),
    ("attention_mask", pa.list_(pa.int64())),
    ("cached_tokens", pa.int64()),
    ("created_at", pa.string()),
    ("model", pa.struct(_MODEL)),
    ("candidates", pa.list_(pa.struct(_CANDIDATE))),
    ("decisions", pa.list_(pa.struct(_DECISION))),
    ("revealed", pa.bool_()),
    ("redacted", pa.bool_()),
]
# What every row for trainers says about where it comes from.
_ORIGIN = [
    ("group_id", pa.string()),  # the choice: rows that share it are not independent
    ("story_id", pa.string()),
    ("step", pa.int64()),
    ("annotator", pa.string()),
    ("decision", pa.string()),
    ("blind", pa.bool_()),
    ("reason", pa.string()),
    ("model", pa.string()),
]
_COMPLETION = [
    ("candidate_id", pa.string()),
    ("finish_reason", pa.string()),
    ("settings", pa.struct(_SETTINGS)),
]

SCHEMAS: dict[str, pa.Schema] = {
    "choices": pa.schema(_CHOICE),
    "pairs": pa.schema(
        [
            *((name, pa.string()) for name in ("prompt", "chosen", "rejected")),
            *_ORIGIN,
            *((f"chosen_{name}", kind) for name, kind in _COMPLETION),
            *((f"rejected_{name}", kind) for name, kind in _COMPLETION),
        ]
    ),
    "unpaired": pa.schema(
        [("prompt", pa.string()), ("completion", pa.string()), ("label", pa.bool_()), *_ORIGIN, *_COMPLETION]
    ),
    "sft": pa.schema([("prompt", pa.string()), ("completion", pa.string()), *_ORIGIN, *_COMPLETION]),
}


def choices(batch: Batch) -> pa.RecordBatch:
    """The rows of ``choices``."""
    redacted = batch.choices.get("redacted", [False] * len(batch))
    inputs = [None if gone else data for data, gone in zip(batch.choices["input_tensors"], redacted, strict=True)]
    columns = batch.choices | {
        "story": _shared(batch.stories, batch.choices["story_id"], _STORY),
        "model": _shared(batch.models, batch.choices["model_id"], _MODEL),
        "candidates": _lists(_candidates(batch, redacted), batch.sizes(batch.candidates)),
        "decisions": _lists(_struct(batch.decisions, _DECISION), batch.sizes(batch.decisions)),
        "redacted": redacted,
    }
    return pa.RecordBatch.from_struct_array(_struct(columns | _numbers(inputs, _CHOICE), _CHOICE))


def _candidates(batch: Batch, redacted: list[bool]) -> pa.Array:
    table = batch.candidates
    arrays = _numbers(table["output_tensors"], _CANDIDATE)
    if any(redacted):
        gone = np.repeat(redacted, batch.sizes(table))
        arrays["output_ids"] = pc.if_else(pa.array(gone), None, arrays["output_ids"])
    return _struct(table | arrays, _CANDIDATE)


def _struct(columns: Mapping[str, Any], fields: _Fields) -> pa.Array:
    """Columns, of which some may be arrays already, as one of rows."""
    arrays = [_array(columns[name], kind) for name, kind in fields]
    return pa.StructArray.from_arrays(arrays, fields=[pa.field(*field) for field in fields])


def _array(values: Any, kind: pa.DataType) -> pa.Array:
    if isinstance(values, pa.Array):
        return values
    return pa.array(map(bool, values) if kind == pa.bool_() else values, kind)


def _shared(rows: Mapping[str, Row], ids: list[str], fields: _Fields) -> pa.Array:
    """The row of each id."""
    places = {row_id: place for place, row_id in enumerate(rows)}
    return pa.array(rows.values(), pa.struct(fields)).take(pa.array([places[row_id] for row_id in ids]))


def _lists(items: pa.Array, sizes: list[int], missing: pa.Array | None = None) -> pa.Array:
    """Items as lists of these sizes."""
    return pa.ListArray.from_arrays(pa.array(np.cumsum([0, *sizes], dtype=np.int32)), items, mask=missing)


def _numbers(blobs: list[bytes | None], fields: _Fields) -> dict[str, pa.Array]:
    """The fields that are in tensors, as lists; null where there are no tensors."""
    kinds = {name: kind for name, kind in fields if kind in _NUMBERS}
    missing = pa.array([blob is None for blob in blobs])
    columns = {}
    for name, arrays in numbers(blobs, kinds).items():
        sizes = [len(array) // 8 for array in arrays]
        items = pa.Array.from_buffers(kinds[name].value_type, sum(sizes), [None, pa.py_buffer(b"".join(arrays))])
        columns[name] = _lists(items, sizes, missing)
    return columns


def pair_rows(record: Record, window: int | None = None) -> Iterator[Row]:
    """``prompt, chosen, rejected`` for each preference that a standing decision states."""
    prompt, space = _prompt(record, window)
    candidates, texts = {c["id"]: c for c in record.candidates}, record.texts()
    for decision in record.standing():
        for chosen, rejected in pairs(decision["kind"], decision["candidate_id"], texts):
            yield {
                "prompt": prompt,
                "chosen": space + chosen.text,
                "rejected": space + rejected.text,
                **_origin(record, decision),
                **{f"chosen_{name}": value for name, value in _completion(candidates[chosen.id]).items()},
                **{f"rejected_{name}": value for name, value in _completion(candidates[rejected.id]).items()},
            }


def unpaired_rows(record: Record, window: int | None = None) -> Iterator[Row]:
    """``prompt, completion, label`` for each text that a standing decision likes or dislikes."""
    prompt, space = _prompt(record, window)
    candidates, texts = {c["id"]: c for c in record.candidates}, record.texts()
    for decision in record.standing():
        for text, liked in unpaired(decision["kind"], decision["candidate_id"], texts):
            yield {
                "prompt": prompt,
                "completion": space + text.text,
                "label": liked,
                **_origin(record, decision),
                **_completion(candidates[text.id]),
            }


def sft_rows(record: Record, window: int | None = None) -> Iterator[Row]:
    """``prompt, completion`` for each text that a standing decision took into a story."""
    return (row for row in unpaired_rows(record, window) if row["label"])


ROWS: dict[str, Callable[[Record, int | None], Iterator[Row]]] = {
    "pairs": pair_rows,
    "unpaired": unpaired_rows,
    "sft": sft_rows,
}


def _prompt(record: Record, window: int | None) -> tuple[str, str]:
    """The prompt, at most about ``window`` tokens of it, and the white space that stood at its end."""
    whole = record.choice["prompt"]
    prompt = whole.rstrip()
    space = whole[len(prompt) :]
    if window is None:
        return prompt, space
    # The tokens are the model's own; where they lie in the text is known only on average.
    (ids,) = numbers([record.choice["input_tensors"]], ["input_ids"])["input_ids"]
    tokens = len(ids) // 8
    if tokens <= window:
        return prompt, space
    kept = prompt[-max(1, len(prompt) * window // tokens) :]
    return kept.partition(" ")[2] or kept, space


def _origin(record: Record, decision: Row) -> Row:
    return {
        "group_id": record.choice["id"],
        "story_id": record.choice["story_id"],
        "step": record.choice["step"],
        "annotator": decision["annotator"],
        "decision": decision["kind"],
        "blind": bool(decision["blind"]),
        "reason": decision["reason"],
        "model": record.model["name"],
    }


def _completion(candidate: Row) -> Row:
    return {
        "candidate_id": candidate["id"],
        "finish_reason": candidate["finish_reason"] or "hand",
        "settings": candidate if candidate["origin"] == "generated" else None,
    }
