"""Short training runs at equal compute: what each decision in the recipe is worth.

    python data/storyteller/compare.py CORPUS

Each run of ``RUNS`` differs from the first in one decision, and sees as many tokens as the same number of
multiplications allow. What is measured goes into ``comparison.json`` beside this file after each run; runs that it
has are not run again. The rows of the table for the model card are printed at the end.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

RESULTS = Path(__file__).with_name("comparison.json")
COLUMNS = ("tinystories", "tinystories_more", "llama_stories", "childrens_ccby", "fairytales")
TOKENS = 1_048_576  # that the first run sees

# What short runs need: more and smaller steps, a quick beginning, and a rate that falls for half of the time.
SHORT = {"batch": 4_096, "warmup": 20, "decay": 0.5, "horizon": 10}
FIRST: dict[str, float] = {"vocabulary": 8_192, "layers": 6, "hidden": 320, "heads": 5, "intermediate": 896}
SOURCES = (*COLUMNS, "childrens_classics", "classic_stories", "fables_llama", "fables_apache")

RUNS: dict[str, dict[str, float]] = {
    "6 layers of 320, vocabulary 8,192, Muon, weights of the recipe": {},
    "the same with another seed": {"seed": 1},
    "vocabulary 4,096": {"vocabulary": 4_096},
    "vocabulary 16,384": {"vocabulary": 16_384},
    "10 layers of 256": {"layers": 10, "hidden": 256, "heads": 4, "intermediate": 704},
    "3 layers of 448": {"layers": 3, "hidden": 448, "heads": 7, "intermediate": 1_216},
    "8 layers of 256": {"layers": 8, "hidden": 256, "heads": 4, "intermediate": 704},
    "7 layers of 384": {"layers": 7, "hidden": 384, "heads": 6, "intermediate": 1_024},
    "AdamW alone, 0.003": {"lr_muon": 0},
    "Muon 0.01": {"lr_muon": 0.01},
    "rows of 512 tokens from the beginning": {"short_context": 512},
    "every source with weight 1": dict.fromkeys(SOURCES, 1),
    "less TinyStories, more old tales": {
        "tinystories": 2,
        "tinystories_more": 2,
        "fairytales": 1,
        "childrens_classics": 0.7,
        "classic_stories": 0.3,
    },
}


def multiplications(run: dict[str, float]) -> float:
    """For one token, in the products with weights; a backward pass takes twice as many again."""
    shape = FIRST | run
    hidden = shape["hidden"]
    layer = 4 * hidden * hidden + 3 * hidden * shape["intermediate"]
    return shape["layers"] * layer + hidden * shape["vocabulary"]


def measured(run: dict[str, float], corpus: Path, work: Path) -> dict[str, object]:
    """Train and measure by ``train.py``; what it prints at its end."""
    tokens = round(TOKENS * multiplications({}) / multiplications(run))
    changes = {**SHORT, **run, "tokens": tokens}
    command = [sys.executable, str(Path(__file__).with_name("train.py")), str(corpus), "--work", str(work)]
    command += ["--out", str(work / "out"), *(f"--set={name}={value}" for name, value in changes.items())]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, object] = json.loads(said[said.rindex("\n{") :])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="folder of story text to train on")
    parser.add_argument("--work", type=Path, default=Path("build/compare"), help="checkpoints, and models to look at")
    arguments = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for number, (name, run) in enumerate(RUNS.items()):
        if name not in results:
            print(name, flush=True)
            results[name] = measured(run, arguments.corpus, arguments.work / str(number))
            RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    for name in RUNS:
        bits = results[name]["bits_per_byte"]
        figures = [f"{results[name]['tokens'] / 1e6:.2f} M", *(f"{bits[column]:.3f}" for column in COLUMNS)]
        print("|", " | ".join([name, *figures]), "|")


if __name__ == "__main__":
    main()
