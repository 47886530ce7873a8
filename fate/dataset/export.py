"""The dataset as a folder that ``datasets.load_dataset(folder, config)`` reads."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from fate.core.errors import FateError
from fate.core.story import place_of
from fate.dataset.card import TITLE, Counts, card
from fate.dataset.croissant import croissant
from fate.dataset.findings import Findings
from fate.dataset.hashes import Hashes, digests
from fate.dataset.privacy import redacted
from fate.dataset.rows import ROWS, SCHEMAS, choices
from fate.dataset.writing import FORMATS, Split
from fate.paths import new_folder
from fate.store import Store
from fate.store.records import Batch


class ExportError(FateError):
    """An export that cannot be made."""


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What is exported and how.

    ``split`` is the share of the stories, by the hash of their ids, that goes to ``train``; the others go to
    ``test``. ``since`` is an ISO 8601 time (UTC); ``annotators`` are names, all if there are none; ``window`` is the
    length of prompts in tokens, roughly, in every config but ``choices``.

    Raises ExportError, naming the value, where one cannot be.
    """

    configs: Sequence[str] = tuple(SCHEMAS)
    format: str = "parquet"
    split: float | None = None
    since: str = ""
    annotators: Sequence[str] = ()
    window: int | None = None
    redact: bool = False
    licence: str = "unknown"
    language: str = "en"

    def __post_init__(self) -> None:
        for config in self.configs:
            if config not in SCHEMAS:
                raise ExportError(f"There is no config {config!r}; choose among {', '.join(SCHEMAS)}.")
        if self.format not in FORMATS:
            raise ExportError(f"There is no format {self.format!r}; choose among {', '.join(FORMATS)}.")
        if self.split is not None and not 0 < self.split < 1:
            raise ExportError(f"--split is a share between 0 and 1, like 0.9, not {self.split:g}.")
        if self.window is not None and self.window < 1:
            raise ExportError(f"--window is a number of tokens, at least 1, not {self.window}.")

    def split_of(self, story_id: str) -> str:
        """The split of a story: the same however many others there are."""
        return "train" if self.split is None or place_of(story_id) < self.split else "test"


@dataclass(frozen=True, slots=True)
class Exported:
    """What came of an export: rows of each config, and what to look at before publishing."""

    rows: dict[str, int]
    findings: list[str]
    personal: bool  # whether personal data were found and left in


def export(
    store: Store, folder: Path, options: ExportOptions | None = None, progress: Callable[[int], object] = lambda _: None
) -> Exported:
    """Write the dataset, its card and its Croissant metadata into a new folder.

    A config without rows is left out. ``progress`` is told of how many choices more are done. The folder appears under
    its name once it is whole; memory hardly grows with the database: by some ten bytes a candidate.

    Raises FolderError where the folder is there or cannot be written, ExportError where nothing would be in it.
    """
    with new_folder(folder) as part:
        return _write(store, part, options or ExportOptions(), progress)


def _write(store: Store, part: Path, options: ExportOptions, progress: Callable[[int], object]) -> Exported:
    configs = tuple(dict.fromkeys(options.configs))
    splits = {
        (config, name): Split(part, config, name, options.format, SCHEMAS[config])
        for config in configs
        for name in ("train", "test")
    }
    scratch = part / "scratch"
    scratch.mkdir()
    counts, findings, stories = Counts(), Findings(scratch), Hashes(scratch / "stories")
    for batch in store.batches(options.since, annotators=options.annotators):
        if options.redact:
            batch.decisions["annotator"] = [f"reader-{name[:8]}" for name in batch.decisions["annotator_id"]]
        counts.see(batch)
        findings.look_at(batch)
        stories.add(digests(batch.stories))
        if options.redact:
            batch = _redacted(batch)
        names = [options.split_of(story_id) for story_id in batch.choices["story_id"]]
        if "choices" in configs:
            rows = choices(batch)
            for name in set(names):
                own = rows if names.count(name) == len(names) else rows.filter(pa.array([name == n for n in names]))
                splits["choices", name].add_choices(own)
        if trainers := [config for config in configs if config != "choices"]:
            for name, record in zip(names, batch.records(), strict=True):
                for config in trainers:
                    for row in ROWS[config](record, options.window):
                        splits[config, name].add(row)
        progress(len(batch))
    findings.close()
    counts.stories = stories.different()
    stories.close()
    shutil.rmtree(scratch)
    for split in splits.values():
        split.close()
    written = [split for split in splits.values() if split.rows]
    if not written:
        raise ExportError(_nothing(counts, options))
    report = findings.sentences()
    if options.redact and findings.personal:
        report[0] += (
            " They have given way to placeholders, and the token ids of the choices that held them are left out."
        )
    (part / "README.md").write_text(card(written, counts, report, options.licence, options.language), encoding="utf-8")
    description = (
        f"{counts.choices} choices between sampled continuations of stories, with what produced them and what "
        "readers decided."
    )
    metadata = croissant(written, TITLE, description, options.licence, counts.last[:10])
    (part / "croissant.json").write_text(json.dumps(metadata, indent=2) + "\n", encoding="utf-8")
    rows = {config: sum(split.rows for split in written if split.config == config) for config in configs}
    return Exported(rows, report, personal=bool(findings.personal) and not options.redact)


def _redacted(batch: Batch) -> Batch:
    """Without personal data; where there were any in what tokens spell, the row says so, and gets no token ids."""
    prompts, texts = (list(map(redacted, column)) for column in (batch.choices["prompt"], batch.candidates["text"]))
    touched = {
        choice_id
        for choice_id, was, text in zip(
            [*batch.choices["id"], *batch.candidates["choice_id"]],
            [*batch.choices["prompt"], *batch.candidates["text"]],
            [*prompts, *texts],
            strict=True,
        )
        if was != text
    }
    return replace(
        batch,
        choices=batch.choices | {"prompt": prompts, "redacted": [i in touched for i in batch.choices["id"]]},
        candidates=batch.candidates | {"text": texts},
        stories={
            story_id: story | {name: redacted(story[name]) for name in ("title", "opening")}
            for story_id, story in batch.stories.items()
        },
    )


def _nothing(counts: Counts, options: ExportOptions) -> str:
    if counts.choices:
        return f"No decision gives a row of {' or '.join(options.configs)} yet; choose in a story first."
    if options.since or options.annotators:
        return "No choice fits --since and --annotator; leave one of them out."
    return "There is nothing to export yet; play a story first."
