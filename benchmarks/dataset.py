"""The dataset at size: insert, commit, export and count, beside plain sqlite3 and json doing the same rows.

    python benchmarks/dataset.py [--choices 100000] [--folder DIR]

Makes a database of made-up choices (three candidates of 48 tokens after a prompt of 256), measures, and prints a
table in Markdown. Exports run in processes of their own, so that their peak memory is theirs.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import numpy as np
from safetensors.numpy import load

from fate.core.choice import Candidate, Choice, Continuation, Decision, ModelInfo
from fate.core.sampling import SettingsRanges
from fate.dataset import ExportOptions, export
from fate.dataset.stats import stats
from fate.openings import openings
from fate.store import Store
from fate.store.records import Record
from fate.store.tensors import pack_inputs, pack_outputs

PROMPT, TOKENS, STEPS = 256, 48, 20
WORDS = sorted({word for opening in openings() for word in opening.text.split()})
MODEL = {
    "id": "m" * 64,
    "name": "made-up",
    "architecture": "None",
    "weights_sha256": "w" * 64,
    "tokenizer_sha256": "t" * 64,
    "precision": "float32",
    "device": "cpu",
    "threads": 2,
    "versions": "{}",
    "license": None,
}


def words(rng: Random, count: int) -> str:
    return "".join(f" {word}" for word in rng.choices(WORDS, k=count))


def records(choices: int) -> Iterator[Record]:
    """Stories of twenty choices, each after the last one's chosen candidate."""
    rng, numbers, ranges = Random(0), np.random.default_rng(0), SettingsRanges()
    began = datetime(2026, 1, 1, tzinfo=UTC)
    story, parent = {}, None
    for number in range(choices):
        at = [(began + timedelta(seconds=10 * number + n)).isoformat(timespec="microseconds") for n in range(2)]
        step = number % STEPS
        if step == 0:
            story, parent = {"id": f"story{number}", "opening": words(rng, 20).strip(), "tip_id": None}, None
            story |= {"title": story["opening"][:40], "created_at": at[0], "played_at": at[0]}
        choice = {
            "id": f"choice{number:032}",
            "story_id": story["id"],
            "parent_id": parent,
            "step": step,
            "prompt": words(rng, PROMPT * 3 // 4),
            "input_tensors": pack_inputs(numbers.integers(0, 8192, PROMPT).tolist()),
            "cached_tokens": 200,
            "model_id": MODEL["id"],
            "created_at": at[0],
        }
        candidates = []
        for slot, settings in enumerate(ranges.draw(rng, 3)):
            candidates.append(
                {
                    "id": f"candidate{number:030}{slot}",
                    "choice_id": choice["id"],
                    "origin": "generated",
                    "draft_id": None,
                    "slot": slot,
                    "position": slot,
                    "shown": 1,
                    "text": words(rng, 36),
                    **{name: getattr(settings, name) for name in settings.__dataclass_fields__},
                    "policy": "uniform",
                    "log_density": ranges.log_density(settings),
                    "seed": rng.randrange(2**63),
                    "output_tensors": pack_outputs(
                        numbers.integers(0, 8192, TOKENS).tolist(),
                        uniforms=numbers.random(TOKENS),
                        logprobs=-numbers.exponential(2, TOKENS),
                        warped_logprobs=-numbers.exponential(2, TOKENS),
                    ),
                    "kept": TOKENS,
                    "finish_reason": "sentence",
                    "milliseconds": 900,
                }
            )
        parent = candidates[rng.randrange(3)]["id"]
        decision = {
            "id": f"decision{number:030}",
            "choice_id": choice["id"],
            "candidate_id": parent,
            "kind": "chosen",
            "annotator_id": "a",
            "annotator": "reader",
            "milliseconds": rng.randrange(900, 9000),
            "blind": 1,
            "review": 0,
            "created_at": at[1],
        }
        yield Record(choice, story, MODEL, candidates, [decision])


def as_json(record: Record) -> str:
    """What someone without fate might keep of a choice."""
    inputs = load(record.choice["input_tensors"])["input_ids"].tolist()
    candidates = [
        {**c, "output_tensors": {name: array.tolist() for name, array in load(c["output_tensors"]).items()}}
        for c in record.candidates
    ]
    return json.dumps([{**record.choice, "input_tensors": inputs}, record.story, MODEL, candidates, record.decisions])


def plain_read(file: Path, how: str) -> None:
    """Read every row with sqlite3 alone: ``fetch`` it, ``decode`` its tensors, or ``dump`` it as JSON Lines."""
    with sqlite3.connect(file) as db, open(os.devnull, "w") as out:
        for table in ("choice", "candidate", "decision"):
            cursor = db.execute(f"SELECT * FROM {table}")
            names = [column[0] for column in cursor.description]
            for row in cursor:
                if how == "fetch":
                    continue
                values = dict(zip(names, row, strict=True))
                for name in ("input_tensors", "output_tensors"):
                    if name in values:
                        values[name] = {k: v.tolist() for k, v in load(values[name]).items()}
                if how == "dump":
                    out.write(json.dumps(values) + "\n")


def timed(action) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def in_process(*arguments: str) -> tuple[float, float]:
    """Seconds and peak MiB of a job of this script in a process of its own."""
    done = subprocess.run([sys.executable, __file__, "--job", *arguments], check=True, capture_output=True, text=True)
    seconds, peak = done.stdout.split()
    return float(seconds), float(peak)


def job(name: str, file: Path, *more: str) -> None:
    if name == "export":
        store, out = Store(file, writes=False), Path(tempfile.mkdtemp(dir=file.parent))
        configs = more or ExportOptions().configs
        seconds = timed(lambda: export(store, out / "out", ExportOptions(configs=configs)))
        shutil.rmtree(out)
    elif name == "stats":
        seconds = timed(lambda: stats(Store(file, writes=False)))
    else:
        seconds = timed(lambda: plain_read(file, name))
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def commits(store: Store, plain: sqlite3.Connection, count: int) -> tuple[float, float, float]:
    """Median milliseconds to keep a choice, to keep a decision, and to keep both as JSON with the same safety."""
    rng, ranges = Random(1), SettingsRanges()
    story = store.new_story("Once upon a time.")
    add, decide, json_row = [], [], []
    for number, record in enumerate(records(count)):
        written = [
            Continuation(
                settings,
                7,
                candidate["text"],
                tuple(range(TOKENS)),
                TOKENS,
                *[tuple(rng.random() for _ in range(TOKENS)) for _ in range(3)],
                "sentence",
                900,
            )
            for settings, candidate in zip(ranges.draw(rng, 3), record.candidates, strict=True)
        ]
        choice = Choice(
            f"new{number}",
            story,
            None,
            0,
            record.choice["prompt"],
            tuple(range(PROMPT)),
            0,
            replace(ModelInfo(**MODEL), id="n" * 64),
            tuple(Candidate(f"new{number}{slot}", slot, slot, True, "u", 0.0, w) for slot, w in enumerate(written)),
        )
        decision = Decision("chosen", choice.candidates[0].id, 900, "reader", True)
        add.append(timed(lambda choice=choice: store.add_choice(choice)))
        decide.append(timed(lambda choice=choice, decision=decision: store.decide(choice, decision)))

        def keep(record=record):
            plain.execute("INSERT INTO row (json) VALUES (?)", (as_json(record),))
            plain.commit()

        json_row.append(timed(keep))
    return tuple(1000 * statistics.median(times) for times in (add, decide, json_row))  # type: ignore[return-value]


def bytes_per_choice() -> dict[int, int]:
    """Size of a choice's input tensors at two prompt lengths."""
    return {tokens: len(pack_inputs(range(tokens))) for tokens in (256, 1024)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--choices", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, default=None, help="where to work (default: a temporary folder)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--job", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        name, file, *more = arguments.job
        job(name, Path(file), *more)
        return
    folder = Path(tempfile.mkdtemp(dir=arguments.folder))
    file, tenth, lines = folder / "fate.db", folder / "tenth.db", folder / "lines.db"

    made = list(records(2_000))
    warm = Store(folder / "insert.db")
    ours = timed(lambda: warm.merge(made))
    warm.close()
    plain = sqlite3.connect(lines)
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        plain.execute(f"PRAGMA {pragma}")
    plain.execute("CREATE TABLE row (json TEXT)")
    theirs = timed(
        lambda: (plain.executemany("INSERT INTO row VALUES (?)", ((as_json(r),) for r in made)), plain.commit())
    )

    for path, count in ((tenth, arguments.choices // 10), (file, arguments.choices)):
        store = Store(path)
        store.merge(records(count))
        store.close()
    store = Store(file)
    add, decide, json_row = commits(store, plain, 200)
    store.close()

    def median(*job: str) -> tuple[float, float]:
        runs = [in_process(*job) for _ in range(arguments.repeats)]
        return statistics.median(seconds for seconds, _ in runs), max(peak for _, peak in runs)

    reads = {how: median(how, str(file))[0] for how in ("fetch", "decode", "dump")}
    choices, peak = median("export", str(file), "choices")
    every, peak_every = median("export", str(file))
    _, peak_tenth = median("export", str(tenth))
    counted, _ = median("stats", str(file))
    n, rows = arguments.choices, 5 * arguments.choices
    print(f"{n:,} choices, {3 * n:,} candidates, {file.stat().st_size / n:,.0f} bytes a choice on disk\n")
    print("| what | fate | sqlite3 and json | ratio |")
    print("|---|---|---|---|")
    print(
        f"| insert, rows/s (2,000 choices in one transaction) | {10_000 / ours:,.0f} | {10_000 / theirs:,.0f} | "
        f"{theirs / ours:.2f} |"
    )
    print(f"| keep a choice, ms | {add:.1f} | | |")
    print(f"| keep a decision, ms | {decide:.1f} | | |")
    print(f"| keep both, ms | {add + decide:.1f} | {json_row:.1f} | {json_row / (add + decide):.2f} |")
    for how, words in (
        ("fetch", "fetching the rows, tensors as bytes"),
        ("decode", "reading the rows with their tensors"),
        ("dump", "writing the rows as JSON Lines"),
    ):
        print(
            f"| `choices` to Parquet, rows/s, beside {words} | {rows / choices:,.0f} | {rows / reads[how]:,.0f} | "
            f"{reads[how] / choices:.2f} |"
        )
    print(f"| all four configs, s | {every:.1f} | | |")
    print(f"| stats, s | {counted:.2f} | | |")
    print(f"\nPeak memory of an export of all configs: {peak_tenth:.0f} MiB at {n // 10:,} choices,")
    print(f"{peak_every:.0f} MiB at {n:,} (of `choices` alone {peak:.0f} MiB).")
    sizes = (f"{size:,} bytes at {tokens:,} tokens" for tokens, size in bytes_per_choice().items())
    print(f"Input tensors of a choice: {', '.join(sizes)}.")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
