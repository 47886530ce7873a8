"""Write candidates for judges, and take in what they found: where ``preferences.jsonl.gz`` comes from.

    python data/storyteller/candidates.py write BEGINNINGS FOLDER   # sheets of candidates, as the game writes them
    python data/storyteller/candidates.py worn FOLDER               # how many say what is said everywhere
    python data/storyteller/candidates.py take FOLDER ROUND         # their marks, into preferences.jsonl.gz

BEGINNINGS has a beginning of a story in each line. A sheet is two files: ``NAME.jsonl``, and ``NAME.txt`` to read,
where prompts have numbers and candidates letters. Who judges it reads JUDGING.md and writes ``NAME.marks``, for each
prompt a line like ``12 a2.5 b4 c0``; who judges it again, ``NAME.marks2``. What both have marked has the mean.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from statistics import mean
from string import ascii_lowercase
from typing import Any

from preferences import PREFERENCES, UNTAUGHT, frequent, phrases, read_entries

from fate.config import read_config
from fate.core.text import words
from fate.engine import Engine, load
from fate.engine.decoding import Generation
from fate.openings import openings
from fate.paths import storyteller

SHEET = 28  # prompts: what a judge reads at one go
EACH = 11  # candidates of a prompt at most: the three that the game offers, likely ones and others
LIKELY = 4  # of these
PLAYED = 6  # texts for a candidate where a story is only played on
LONGEST = 400  # tokens of a prompt
ALIKE = 0.6  # the share of words in common above which one of two texts is enough
WORN = 0.05  # the share of prompts, above what is usual, after which a phrase is worn
MARKS = (0, 1, 2, 2.5, 3, 4, 5)


def written(engine: Engine, prompt: tuple[int, ...], rng: Random, **changes: Any) -> Generation:
    """What is written after a prompt, as the game does it but for ``changes`` of the settings."""
    drawn = [replace(each, **changes) for each in read_config().ranges.settings_ranges(engine.sampler).draw(rng, 3)]
    generation = engine.generate(prompt, drawn, [rng.randrange(2**63) for _ in drawn])
    while not generation.done:
        generation.step()
    return generation


def candidates(engine: Engine, prompt: tuple[int, ...], rng: Random) -> list[str]:
    """Texts to be judged, in random order."""
    generation = written(engine, prompt, rng)
    offered = generation.rows
    complete = [row for texts in generation.texts for row in texts if row.kept and row.finish_reason != "length"]
    rest = [row for row in complete if row not in offered]
    rest.sort(key=lambda row: mean(row.logprobs[: row.kept]), reverse=True)
    likely, others = rest[: len(rest) // 3], rest[len(rest) // 3 :]
    taken = [row.text for row in offered]
    for rows, room in ((likely, len(taken) + LIKELY), (others, EACH)):
        for row in rng.sample(rows, len(rows)):
            if len(taken) < room and not any(_alike(row.text, text) for text in taken):
                taken.append(row.text)
    return rng.sample(taken, len(taken))


def _alike(one: str, other: str) -> bool:
    here, there = set(words(one)), set(words(other))
    return len(here & there) > ALIKE * len(here | there)


def entries(engine: Engine, beginnings: Sequence[str], choices: int, rng: Random) -> Iterator[dict[str, Any]]:
    """Prompts with candidates: each beginning, or every third step where some ``choices`` are made after it."""
    for beginning in beginnings:
        prompt, first = engine.encode(beginning), rng.randrange(3) if choices else 0
        for step in range(choices + 1):
            if step % 3 == first:
                yield {"prompt": engine.story(prompt), "candidates": candidates(engine, prompt, rng)}
            if step < choices:
                chosen = rng.choice(written(engine, prompt, rng, best_of=PLAYED).rows)
                if chosen.finish_reason == "eos" or len(prompt) + chosen.kept > LONGEST:
                    break
                prompt += chosen.kept_ids


def write(arguments: argparse.Namespace) -> None:
    """Write the sheets; one is there as soon as it is complete, so that judges can begin."""
    text = arguments.beginnings.read_text() if arguments.beginnings.is_file() else ""
    beginnings = [line.strip().replace("\\n", "\n") for line in text.splitlines() if line.strip()]
    if not beginnings:
        raise SystemExit(f"{arguments.beginnings} holds no beginning; give a text file with one in each line.")
    engine, rng = load(arguments.model), Random(arguments.seed)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    every = entries(engine, beginnings, arguments.choices, rng)
    for number in itertools.count(1):
        if not (sheet := list(itertools.islice(every, SHEET))):
            break
        write_sheet(arguments.folder / f"{arguments.beginnings.stem}-{number:02}", sheet)


def sheets_of(folder: Path) -> list[Path]:
    if not (files := sorted(folder.glob("*.jsonl"))):
        raise SystemExit(f"{folder} holds no sheets; give the folder that they were written to.")
    return files


def write_sheet(name: Path, sheet: Sequence[dict[str, Any]]) -> None:
    name.with_suffix(".jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in sheet))
    parts = []
    for number, entry in enumerate(sheet, 1):
        texts = zip(ascii_lowercase, entry["candidates"], strict=False)
        lines = "\n".join(f"{letter}: {text.strip().replace(chr(10), ' / ')}" for letter, text in texts)
        parts.append(f"## {number}\n\n{entry['prompt']}\n\n{lines}\n")
    name.with_suffix(".txt").write_text("\n".join(parts))


def worn(arguments: argparse.Namespace) -> None:
    """Tell how many of the sheets' candidates have a worn phrase of three words, and which are worn most.

    What is usual are the phrases of the models that had learnt from no marks, see ``preferences.frequent``.
    """
    sheets = [json.loads(line) for file in sheets_of(arguments.folder) for line in file.read_text().splitlines()]
    texts = [(text, phrases(text, entry["prompt"], 3)) for entry in sheets for text in entry["candidates"]]
    for entry in sheets:
        entry["candidates"] = [{"text": text, "round": UNTAUGHT} for text in entry["candidates"]]
    untaught = [entry for entry in read_entries(PREFERENCES) if any(c["round"] < UNTAUGHT for c in entry["candidates"])]
    shares = frequent([*untaught, *sheets], range(UNTAUGHT, UNTAUGHT + 1), 3)
    found = sum(any(shares[phrase] > WORN for phrase in own) for _, own in texts)
    print(f"{found / len(texts):.1%} of {len(texts):,} candidates after {len(sheets):,} prompts have a worn phrase")
    for phrase in sorted(shares, key=shares.__getitem__, reverse=True)[:10]:
        print(f"{shares[phrase]:6.1%}  {' '.join(phrase)}")


def read_marks(file: Path) -> dict[tuple[int, str], float]:
    """The marks of a sheet, by number and letter; a line that is none says so."""
    marks = {}
    for line in file.read_text().splitlines():
        if found := re.fullmatch(r"(\d+):?((?:\s+[a-z]:?\s*\d(?:\.\d+)?,?)+)\s*", line):
            for letter, mark in re.findall(r"([a-z]):?\s*(\d(?:\.\d+)?)", found[2]):
                if float(mark) in MARKS:
                    marks[int(found[1]), letter] = float(mark)
        elif line.strip():
            print(f"{file.name}: not marks: {line[:80]}")
    return marks


def take(arguments: argparse.Namespace) -> None:
    """Add what was judged to the preferences; prompts that are there already have more candidates then."""
    judged = {entry["prompt"]: entry for entry in read_entries(PREFERENCES)}
    kept_apart = {opening.text for opening in openings()}  # which the storyteller is measured on
    taken = 0
    for sheet in sheets_of(arguments.folder):
        files = [file for suffix in (".marks", ".marks2") if (file := sheet.with_suffix(suffix)).exists()]
        judges = [read_marks(file) for file in files]
        for number, entry in enumerate(map(json.loads, sheet.read_text().splitlines()), 1):
            prompt, found = entry["prompt"], []
            if prompt in kept_apart:
                continue
            for letter, text in zip(ascii_lowercase, entry["candidates"], strict=False):
                if marks := [each[number, letter] for each in judges if (number, letter) in each]:
                    found.append({"text": text, "mark": _tidy(mean(marks)), "round": arguments.round})
            judged.setdefault(prompt, {"prompt": prompt, "candidates": []})["candidates"] += found
            taken += len(found)
    lines = [json.dumps(entry, ensure_ascii=False) + "\n" for entry in judged.values() if entry["candidates"]]
    PREFERENCES.write_bytes(gzip.compress("".join(lines).encode(), mtime=0))
    print(f"{taken} candidates")


def _tidy(mark: float) -> float:
    return int(mark) if mark == int(mark) else mark


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    writing = commands.add_parser("write", help="write sheets of candidates")
    writing.add_argument("beginnings", type=Path, help="text file, a beginning in each line")
    writing.add_argument("folder", type=Path, help="of the sheets")
    writing.add_argument("--model", default=str(storyteller()))
    writing.add_argument("--choices", type=int, default=0, help="that are made at random after each beginning")
    writing.add_argument("--seed", type=int, default=0)
    writing.set_defaults(does=write)
    counting = commands.add_parser("worn", help="tell how worn what they say is")
    counting.add_argument("folder", type=Path, help="of the sheets")
    counting.set_defaults(does=worn)
    taking = commands.add_parser("take", help="take in the marks")
    taking.add_argument("folder", type=Path, help="of the sheets")
    taking.add_argument("round", type=int, help="the number of this round")
    taking.set_defaults(does=take)
    arguments = parser.parse_args()
    arguments.does(arguments)


if __name__ == "__main__":
    main()
