"""The rows of each config, and their columns.

A row may hold more than its columns; what writes it takes those alone. ``choices`` is
everything, word for word. In the other three, which trainers read, the white space at the end
of a prompt has moved to the beginning of what follows it, where a tokenizer expects it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pyarrow as pa

from fate.core.choice import Text, pairs, unpaired
from fate.store.records import Record, Row
from fate.store.tensors import views

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


def choice_rows(record: Record, window: int | None = None) -> Iterator[Row]:
    """The row of ``choices``; ``window`` does not apply, since the row repeats what the model read."""
    redacted = record.choice.get("redacted", False)
    yield {
        **record.choice,
        **({} if redacted else views(record.choice["input_tensors"])),
        "story": record.story,
        "model": record.model,
        "candidates": [_candidate(row, redacted) for row in record.candidates],
        "decisions": [{**row, "blind": bool(row["blind"]), "review": bool(row["review"])} for row in record.decisions],
        "revealed": bool(record.choice["revealed"]),
        "redacted": redacted,
    }


def pair_rows(record: Record, window: int | None = None) -> Iterator[Row]:
    """``prompt, chosen, rejected`` for each preference that a standing decision states."""
    prompt, space = _prompt(record, window)
    candidates, texts = _texts(record)
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
    candidates, texts = _texts(record)
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
    "choices": choice_rows,
    "pairs": pair_rows,
    "unpaired": unpaired_rows,
    "sft": sft_rows,
}


def _candidate(row: Row, redacted: bool) -> Row:
    arrays = views(row["output_tensors"]) if row["output_tensors"] else {}
    if redacted:
        arrays.pop("output_ids", None)
    return {**row, **arrays, "shown": bool(row["shown"])}


def _prompt(record: Record, window: int | None) -> tuple[str, str]:
    """The prompt, at most about ``window`` tokens of it, and the white space that stood at its end."""
    whole = record.choice["prompt"]
    prompt = whole.rstrip()
    space = whole[len(prompt) :]
    if window is None:
        return prompt, space
    # The tokens are the model's own; where they lie in the text is known only on average.
    tokens = views(record.choice["input_tensors"])["input_ids"].size
    if tokens <= window:
        return prompt, space
    kept = prompt[-max(1, len(prompt) * window // tokens) :]
    return kept.partition(" ")[2] or kept, space


def _texts(record: Record) -> tuple[dict[str, Row], list[Text]]:
    candidates = {candidate["id"]: candidate for candidate in record.candidates}
    return candidates, [Text(c["id"], c["text"], c["draft_id"], c["origin"] != "generated") for c in record.candidates]


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
