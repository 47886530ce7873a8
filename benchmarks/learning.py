"""How much of what a reader likes a model learns from their choices: simulated readers with simple tastes.

    python benchmarks/learning.py [--model FOLDER] [--stories 32] [--taste 2] [--out benchmarks/learning.json]

A reader likes one thing in a text (``TASTES``): a text that has one standard deviation more of it, over what the model
offers, is liked ``--taste`` nats more, and they choose in proportion to the exponential of their liking, in stories of
eight choices after half of the shipped openings. What ``fate learn`` makes of so many stories and the model that it was
then write three candidates each at the choices of stories after the other openings. Printed is how often the reader
would take a text of the new model rather than one of the old (``duels``; where no model was written, there is nothing
else than the old one), and how likely each finds its own texts, in nats a token: one that had learnt to say a single
thing would be surer.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from random import Random
from statistics import mean, pstdev

from fate.config import read_config
from fate.core.choice import Candidate, Choice, Continuation
from fate.engine import Engine, load
from fate.learn.examples import examples
from fate.learn.measuring import split
from fate.learn.tuning import Tuning
from fate.openings import Opening, openings
from fate.paths import new_folder
from fate.playthrough import Playthrough
from fate.policy import UniformPolicy
from fate.store import Store

STEPS = 8
UNSEEN = 12  # stories after which both models write
TASTES: dict[str, Callable[[str], float]] = {
    "speech": lambda text: float('"' in text),
    "short": lambda text: -math.log(len(text)),
}


class Reader:
    """Likes one thing in a text, in proportion to ``taste``; ``scale`` is what is offered usually of it."""

    def __init__(self, of: Callable[[str], float], taste: float, usual: list[str], rng: Random) -> None:
        values = [of(text) for text in usual]
        self._of, self._scale, self._rng = of, taste / pstdev(values), rng

    def likes(self, text: str) -> float:
        return self._of(text) * self._scale

    def chooses(self, choice: Choice) -> Candidate:
        weights = [math.exp(self.likes(candidate.written.text)) for candidate in choice.candidates]
        return self._rng.choices(choice.candidates, weights)[0]


def play(
    engine: Engine, store: Store, number: int, after: Sequence[Opening], seed: int, taken: Callable[[Choice], Candidate]
) -> list[Choice]:
    """So many stories, of which ``taken`` says how they go on."""
    rng = Random(seed)
    policy = UniformPolicy(read_config().ranges.settings_ranges(engine.sampler))
    choices = []
    for _ in range(number):
        story = Playthrough(store, engine, policy, store.new_story(rng.choice(after).text), rng=rng)
        for _ in range(STEPS):
            *_, offer = story.offer()
            assert offer.choice is not None
            choices.append(offer.choice)
            story.choose(offer.choice, taken(offer.choice), 1000)
    return choices


def written(engine: Engine, choices: Sequence[Choice]) -> list[list[Continuation]]:
    """What a model writes where others stood, with their settings and seeds."""
    rows = []
    for choice in choices:
        of = [candidate.written for candidate in choice.candidates]
        generation = engine.generate(choice.prompt_ids, [row.settings for row in of], [row.seed for row in of])
        while not generation.done:
            generation.step()
        rows.append(generation.rows)
    return rows


def sure(rows: list[list[Continuation]]) -> float:
    """Nats a token, as the model that wrote them finds them likely."""
    return mean(sum(row.logprobs[: row.kept]) / max(row.kept, 1) for each in rows for row in each)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=read_config().model)
    parser.add_argument("--stories", type=int, nargs="+", default=[32])
    parser.add_argument("--taste", type=float, default=2.0)
    parser.add_argument("--passes", type=int, default=2)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    engine = load(arguments.model)
    known, new = openings()[::2], openings()[1::2]
    results = []
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        rng = Random(0)
        unseen = play(engine, Store(str(scratch / "unseen.db")), UNSEEN, new, 1, lambda c: rng.choice(c.candidates))
        before = written(engine, unseen)
        usual = [row.text for each in before for row in each]
        for name, of in TASTES.items():
            for number in arguments.stories:
                reader = Reader(of, arguments.taste, usual, Random(2))
                store = Store(str(scratch / f"{name}-{number}.db"))
                play(engine, store, number, known, 3, reader.chooses)
                train, held_out = split(examples(store, engine))
                tuning = Tuning(arguments.model, train, held_out)
                *_, measured = tuning.passes(arguments.passes)
                after = before
                if measured.learnt:
                    with new_folder(scratch / f"{name}-{number}") as learnt:
                        tuning.save(learnt)
                    after = written(load(str(scratch / f"{name}-{number}")), unseen)
                duels = [
                    1 / (1 + math.exp(reader.likes(theirs.text) - reader.likes(mine.text)))
                    for news, olds in zip(after, before, strict=True)
                    for mine in news
                    for theirs in olds
                ]
                results.append(
                    {"reader": name, "taste": arguments.taste, "choices": number * STEPS, "written": measured.learnt}
                    | {name: round(value, 3) for name, value in asdict(measured).items()}
                    | {"duels": round(mean(duels), 3), "sure": [round(sure(rows), 3) for rows in (before, after)]}
                )
                print(json.dumps(results[-1]), [row.text for row in after[STEPS - 1]], flush=True)
    if arguments.out:
        arguments.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
