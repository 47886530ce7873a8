"""The dataset as JSON Lines, in a folder that ``datasets.load_dataset(folder, config)`` reads."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fate.core.choice import Candidate, Choice
from fate.core.errors import FateError
from fate.store import Store

CARD = """\
---
pretty_name: Stories chosen in fate
annotations_creators:
- expert-generated
language_creators:
- machine-generated
tags:
- preference
- story
configs:
{configs}---

# Stories chosen in fate

{choices} choices between candidate continuations of a story, {pairs} pairs of a chosen and a rejected one.
A prompt is the story as the model read it; the space before a word belongs to the completion.

- `choices`: one row a choice, with every candidate, its sampler settings, the policy's log-density, the
  seed, token ids and log-probabilities (raw, and under the warped distribution).
- `pairs`: `prompt`, `chosen`, `rejected`; pairs of one choice share a `group_id`. How each completion ended is in
  its `finish_reason`: `eos` is the end of a story, possibly without a word before it; `cancelled` was cut off when the
  reader answered before it was complete.
"""


class ExportError(FateError):
    """An export that cannot be made."""


def export(store: Store, folder: Path) -> dict[str, int]:
    """Write ``choices.jsonl``, ``pairs.jsonl`` and a dataset card into a new folder.

    Returns the number of rows in each config. A config without rows is left out, since no reader of
    JSON Lines can tell its columns. The folder appears under its name once it is whole.

    Raises ExportError where the folder exists, cannot be written, or nothing has been offered yet.
    """
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ExportError(f"{folder} exists and is not empty; name a new folder.")
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise ExportError(f"{folder} cannot be written: {error.strerror}; name another folder.") from error
    try:
        counts = _write(store, part)
        if not counts["choices"]:
            raise ExportError("There is nothing to export yet; play a story first.")
        part.chmod(0o755)
        part.replace(folder)
    except OSError as error:
        raise ExportError(f"{folder} could not be written: {error.strerror}.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return counts


def _write(store: Store, part: Path) -> dict[str, int]:
    counts = {"choices": 0, "pairs": 0}
    with (
        (part / "choices.jsonl").open("w", encoding="utf-8") as choices,
        (part / "pairs.jsonl").open("w", encoding="utf-8") as pairs,
    ):
        for choice in store.choices():
            choices.write(_line(choice_row(choice)))
            counts["choices"] += 1
            for row in pair_rows(choice):
                pairs.write(_line(row))
                counts["pairs"] += 1
    configs = ""
    for name, count in counts.items():
        if count:
            configs += f"- config_name: {name}\n  data_files: {name}.jsonl\n"
        else:
            (part / f"{name}.jsonl").unlink()
    (part / "README.md").write_text(CARD.format(configs=configs, **counts), encoding="utf-8")
    return counts


def choice_row(choice: Choice) -> dict[str, Any]:
    """One row of ``choices``."""
    prompt, space = _split(choice.prompt)
    decision = choice.decision
    return {
        "id": choice.id,
        "story_id": choice.story_id,
        "parent_id": choice.parent_id,
        "step": choice.step,
        "prompt": prompt,
        "input_ids": choice.prompt_ids,
        "cached_tokens": choice.cached_tokens,
        "decision": decision.kind if decision else None,
        "chosen_id": decision.candidate_id if decision else None,
        "annotator": decision.annotator if decision else None,
        "decision_milliseconds": decision.milliseconds if decision else None,
        "blind": decision.blind if decision else None,
        "model": asdict(choice.model),
        "candidates": [_candidate(candidate, space) for candidate in choice.candidates],
    }


def pair_rows(choice: Choice) -> Iterator[dict[str, Any]]:
    """The rows of ``pairs`` that a choice gives."""
    prompt, space = _split(choice.prompt)
    for chosen, rejected in choice.pairs():
        yield {
            "prompt": prompt,
            "chosen": space + chosen.written.text,
            "rejected": space + rejected.written.text,
            "group_id": choice.id,
            "story_id": choice.story_id,
            "step": choice.step,
            "model": choice.model.name,
            "chosen_finish_reason": chosen.written.finish_reason,
            "rejected_finish_reason": rejected.written.finish_reason,
            "chosen_settings": asdict(chosen.written.settings),
            "rejected_settings": asdict(rejected.written.settings),
        }


def _candidate(candidate: Candidate, space: str) -> dict[str, Any]:
    written = candidate.written
    return {
        "id": candidate.id,
        "slot": candidate.slot,
        "position": candidate.position,
        "shown": candidate.shown,
        "completion": space + written.text,
        **asdict(written.settings),
        "policy": candidate.policy,
        "log_density": candidate.log_density,
        "seed": written.seed,
        "output_ids": written.output_ids,
        "kept": written.kept,
        "uniforms": written.uniforms,
        "logprobs": written.logprobs,
        "warped_logprobs": written.warped_logprobs,
        "finish_reason": written.finish_reason,
        "milliseconds": written.milliseconds,
    }


def _split(prompt: str) -> tuple[str, str]:
    """A prompt and the white space at its end, which belongs to what follows."""
    bare = prompt.rstrip()
    return bare, prompt[len(bare) :]


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"
