"""How soon the learned policy offers what a reader likes: simulated readers, who choose in stories of twelve choices.

    python benchmarks/policies.py [--readers 40] [--out benchmarks/policies.json]

A reader likes settings by a curve over each of them that changes with the step (``smooth``), or by a peak somewhere
that no sum of such curves has (``peaked``): how much two random candidates differ in liking has a standard deviation of
``taste`` nats. They choose in proportion to the exponential of their liking. Policies start anew for each reader and
learn after every story, as the game does. Printed is the mean liking of what was offered, as a share of the way from
the mean of uniform draws (0) to the best settings (1), and how often, of one candidate of the policy's and one drawn
uniformly, the reader would choose the policy's.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from pathlib import Path
from random import Random
from statistics import median

import numpy as np

from fate.core.sampling import Place, SettingsRanges
from fate.policy import Contest, LearnedPolicy, UniformPolicy

RANGES = SettingsRanges()
STEPS = 12
AFTER = (1, 4, 16, 64)  # stories
Liking = Callable[[Place, int], float]


def smooth(rng: Random) -> Liking:
    waves = [(rng.gauss(0, 1), rng.gauss(0, 1), rng.random() * 0.5, rng.random()) for _ in Place._fields]

    def liking(place: Place, step: int) -> float:
        late = step / (STEPS - 1)
        return sum(
            (early * (1 - late) + then * late) * math.cos(math.pi * (u - shift) * (1 + speed))
            for u, (early, then, shift, speed) in zip(place, waves, strict=True)
        )

    return liking


def peaked(rng: Random) -> Liking:
    peaks = [(rng.random(), rng.random()) for _ in Place._fields]

    def liking(place: Place, step: int) -> float:
        late = step / (STEPS - 1)
        far = sum((u - early * (1 - late) - then * late) ** 2 for u, (early, then) in zip(place, peaks, strict=True))
        return 3 * math.exp(-4 * far)

    return liking


def scaled(liking: Liking, taste: float, rng: Random) -> tuple[Liking, list[float], list[float]]:
    """With differences of ``taste``; and at each step the mean and the best of random places."""
    places = [Place(*(rng.random() for _ in Place._fields)) for _ in range(2000)]
    each = np.array([[liking(place, step) for place in places] for step in range(STEPS)])
    size = taste / float(np.sqrt(2 * each.var(1).mean()))
    return (
        lambda place, step: size * liking(place, step),
        (size * each.mean(1)).tolist(),
        (size * each.max(1)).tolist(),
    )


def play(kind: Callable[[Random], Liking], taste: float, seed: int) -> dict[int, tuple[float, float]]:
    """After so many stories: share of the way to the best, and share of duels won against uniform."""
    rng = Random(seed)
    liking, mean, best = scaled(kind(rng), taste, rng)
    uniform = UniformPolicy(RANGES)
    history: list[Contest] = []
    found = {}
    for stories in range(1, AFTER[-1] + 1):
        policy = LearnedPolicy(RANGES, history.copy)
        for step in range(STEPS):
            offered = tuple(
                (s.top_k, s.temperature, s.typical_p, s.muse_damp)
                for s in (draw.settings for draw in policy.draw(rng, 3, step))
            )
            weights = [math.exp(liking(RANGES.place(*each), step)) for each in offered]
            history.append(Contest(step, offered, rng.choices(range(3), weights)[0]))
        if stories not in AFTER:
            continue
        policy = LearnedPolicy(RANGES, history.copy)
        liked, duels = [], []
        for step in range(STEPS):
            for _ in range(20):
                mine, theirs = (
                    [
                        liking(RANGES.place(s.top_k, s.temperature, s.typical_p, s.muse_damp), step)
                        for s in (draw.settings for draw in each.draw(rng, 3, step))
                    ]
                    for each in (policy, uniform)
                )
                liked += [(one - mean[step]) / (best[step] - mean[step]) for one in mine]
                duels += [1 / (1 + math.exp(other - one)) for one, other in zip(mine, theirs, strict=True)]
        found[stories] = (float(np.mean(liked)), float(np.mean(duels)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readers", type=int, default=40)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    results = []
    for kind in (smooth, peaked):
        for taste in (0.5, 1.0, 2.0):
            plays = [play(kind, taste, seed) for seed in range(arguments.readers)]
            row = {
                "reader": kind.__name__,
                "taste": taste,
                "after_stories": {
                    n: {name: round(median(p[n][i] for p in plays), 3) for i, name in enumerate(("way", "duels"))}
                    for n in AFTER
                },
            }
            print(json.dumps(row), flush=True)
            results.append(row)
    if arguments.out:
        arguments.out.write_text(json.dumps({"readers": arguments.readers, "results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
