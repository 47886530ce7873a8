"""How a model's text reads inside fate, in numbers: ``python benchmarks/storyteller.py [MODEL] [--corpus FOLDER]``.

Every shipped opening is continued for a few steps with the default ranges, a random candidate chosen at each, and
what comes out is counted. With ``--corpus``, the folder that the model was trained on, also what was copied from it.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import re
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

from fate.config import read_config
from fate.core.choice import Continuation
from fate.engine import Engine, load
from fate.openings import openings
from fate.paths import storyteller

LONG = 200  # tokens
WORN = 0.1  # the share of stories in which a phrase is worn


def words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


def ngrams(tokens: list[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]


def play(engine: Engine, steps: int, rng: Random) -> list[list[tuple[Continuation, ...]]]:
    """For each opening, the candidates of each step along a random path."""
    ranges, stories = read_config().ranges.settings_ranges(engine.sampler), []
    for opening in openings():
        ids, offered = engine.encode(opening.text), []
        for _ in range(steps):
            drawn = ranges.draw(rng, 3)
            prompt = engine.window(ids, drawn[0].max_new_tokens)
            generation = engine.generate(prompt, drawn, [rng.randrange(2**63) for _ in drawn])
            while not generation.done:
                generation.step()
            offered.append(tuple(generation.rows))
            ids = prompt + rng.choice(generation.rows).kept_ids
        stories.append(offered)
    return stories


def names(text: str) -> list[str]:
    """Words with a capital that do not begin a sentence or what somebody says."""
    return re.findall(r"(?<=[a-z,;] )[A-Z][a-z]+", text)


def long_texts(engine: Engine, rng: Random) -> list[tuple[str, Continuation]]:
    """Every opening, with three continuations of up to LONG tokens at one go, each one text that no sentence ends."""
    ranges, texts = read_config().ranges.settings_ranges(engine.sampler), []
    for opening in openings():
        drawn = [replace(s, min_new_tokens=LONG, max_new_tokens=LONG, best_of=1) for s in ranges.draw(rng, 3)]
        generation = engine.generate(engine.encode(opening.text), drawn, [rng.randrange(2**63) for _ in drawn])
        while not generation.done:
            generation.step()
        texts += [(opening.text, row) for row in generation.rows]
    return texts


def measure_long(texts: list[tuple[str, Continuation]]) -> dict[str, float]:
    """Shares of texts, of 8-grams, and of names in the second half of a text."""
    repeated = total = new = mentioned = 0
    ends = [len(row.output_ids) for _, row in texts if row.finish_reason == "eos"]
    for opening, row in texts:
        found = ngrams(words(row.text), 8)
        repeated += len(found) - len(set(found))
        total += len(found)
        half = row.text.find(" ", len(row.text) // 2)
        known = set(re.findall(r"[A-Z][a-z]+", opening + row.text[:half]))
        later = names(row.text[half:])
        new += sum(name not in known for name in later)
        mentioned += len(later)
    return {
        f"continuations of up to {LONG} tokens": len(texts),
        **{f"end the story within {n} tokens": sum(n >= end for end in ends) / len(texts) for n in (50, 100, LONG)},
        "8-grams repeated within a continuation": repeated / max(1, total),
        "names in the second half that were not there before": new / max(1, mentioned),
    }


def measure(stories: list[list[tuple[Continuation, ...]]], corpus: Path | None) -> dict[str, float]:
    """What candidates are like: how many and how long they are, and shares of candidates or n-grams, in [0, 1].

    An n-gram counts once, in whatever number of candidates it stands.
    """
    rows = [row for story in stories for step in story for row in step]
    repeated = total = 0
    for row in rows:
        found = ngrams(words(row.text), 3)
        repeated += len(found) - len(set(found))
        total += len(found)
    alike = pairs = 0.0
    for story in stories:
        for step in story:
            sets = [set(words(row.text)) for row in step]
            for a in range(3):
                for b in range(a):
                    alike += len(sets[a] & sets[b]) / max(1, len(sets[a] | sets[b]))
                    pairs += 1
    told = [{gram for step in story for row in step for gram in ngrams(words(row.text), 3)} for story in stories]
    counts = Counter(itertools.chain.from_iterable(told))
    worn = sum(any(counts[gram] >= WORN * len(stories) for gram in ngrams(words(row.text), 3)) for row in rows)
    results = {
        "candidates": len(rows),
        "words in a candidate": sum(len(words(row.text)) for row in rows) / len(rows),
        "end with a sentence": sum(row.finish_reason in ("sentence", "eos") for row in rows) / len(rows),
        "end the story": sum(row.finish_reason == "eos" for row in rows) / len(rows),
        "unbalanced quotes": sum(row.text.count('"') % 2 for row in rows) / len(rows),
        "3-grams repeated within a candidate": repeated / max(1, total),
        "words shared by two candidates of a choice": alike / pairs,
        f"have a 3-gram that stands in {WORN:.0%} of the stories": worn / len(rows),
    }
    if corpus:
        sys.path.insert(0, str(storyteller()))  # whose scripts are no package
        train = importlib.import_module("train")
        wanted = {gram for row in rows for gram in ngrams(words(row.text), 13)}
        copied: set[tuple[str, ...]] = set()
        for texts in train.read_corpus(corpus).values():
            for text in itertools.filterfalse(train.held_out, texts):
                copied.update(gram for gram in ngrams(words(text), 13) if gram in wanted)
        results["13-grams in a candidate"] = len(wanted) / len(rows)
        results["13-grams found in the training text"] = len(copied) / max(1, len(wanted))
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default=str(storyteller()))
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--read", action="store_true", help="print the text as well")
    arguments = parser.parse_args()
    engine, rng = load(arguments.model), Random(arguments.seed)
    stories = play(engine, arguments.steps, rng)
    if arguments.read:
        for opening, story in zip(openings(), stories, strict=True):
            print(f"\n## {opening.text}")
            for step in story:
                for row in step:
                    print(f"  [{row.settings.summary()}, {row.finish_reason}] {row.text.strip()!r}")
    found = measure(stories, arguments.corpus) | measure_long(long_texts(engine, rng))
    print(json.dumps({name: round(value, 4) for name, value in found.items()}, indent=2))


if __name__ == "__main__":
    main()
