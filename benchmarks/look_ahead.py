"""What writing ahead saves a reader, and what it costs: ``python benchmarks/look_ahead.py [SHAPE …]``.

A story is played with a real database: candidates come, are read for so many seconds, one is chosen. The wait is
the time from the choice to the next three candidates, complete and on disk. ``storyteller`` is the embedded model,
``transformers`` the same through transformers' own forward, as models of other families run; other shapes have random
weights in 16 bit. Run it alone on the machine; the table goes to the terminal and, with
all figures, into ``look_ahead.json`` beside this file.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import threading
import time
from pathlib import Path
from random import Random
from typing import Any

import torch

from benchmarks.engine import WordsOf, cpu
from benchmarks.shapes import SHAPES, model_of, tensors
from fate.core.choice import ModelInfo
from fate.core.sampling import SamplerSettings, SettingsRanges
from fate.engine import Engine, load
from fate.engine.families import describe
from fate.engine.lean import LeanDecoder
from fate.engine.reference import TransformersDecoder
from fate.openings import openings
from fate.paths import storyteller
from fate.playthrough import Playthrough
from fate.policy import UniformPolicy
from fate.store import Store

RESULTS = Path(__file__).with_suffix(".json")


class Counting:
    """A decoder that counts the tokens it has scored in rows of a batch."""

    def __init__(self, decoder: Any) -> None:
        self._decoder, self.tokens = decoder, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._decoder, name)

    def advance(self, tokens: Any, draws: Any = None, rows: Any = None) -> Any:
        self.tokens += len(tokens)
        return self._decoder.advance(tokens, draws, rows)


def engine_of(shape: str) -> Engine:
    if shape in ("storyteller", "transformers"):
        engine = load(str(storyteller()))
        if shape == "transformers":
            engine.decoder = TransformersDecoder(model_of("storyteller"))
            engine.sampler = {**engine.sampler, "best_of": 1}  # as for all such models
        return engine
    model = model_of(shape)
    decoder = LeanDecoder(describe(model.config.to_dict()), tensors(model), "float16", context=1024)
    info = ModelInfo("bench", "bench", shape, "", "", "float16", "cpu", torch.get_num_threads(), "{}")
    return Engine(decoder, WordsOf(), info, 1024, eos_ids=())


def policy_of(engine: Engine) -> UniformPolicy:
    return UniformPolicy(SettingsRanges(fixed=SamplerSettings(**engine.sampler)))


def play(engine: Engine, choices: int, reading: float, ahead: bool) -> dict[str, Any]:
    """Seconds of each wait, and what was computed for it."""
    counting = Counting(engine.decoder)
    engine.decoder = counting
    rng, waits, used = Random(0), [], 0
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "fate.db")
        story = store.new_story(openings()[0].text)
        game = Playthrough(store, engine, policy_of(engine), story, rng=Random(1))
        began, busy = time.perf_counter(), time.process_time()
        for _ in range(choices + 1):
            choice = [offer.choice for offer in game.offer()][-1]
            assert choice is not None
            waits.append(time.perf_counter() - began)
            used += sum(len(c.written.output_ids) for c in choice.candidates)
            chosen = threading.Event()
            writer = threading.Thread(target=game.look_ahead, args=(choice, chosen.is_set))
            if ahead:
                writer.start()
            time.sleep(reading)
            began = time.perf_counter()
            chosen.set()
            game.choose(choice, rng.choice(choice.candidates), round(reading * 1000))
            if ahead:
                writer.join()
        seconds = (time.process_time() - busy) / (choices + 1)
        store.close()
    engine.decoder = counting._decoder
    waits = waits[1:]  # before the first there was nothing to look ahead from
    return {
        "waits": waits,
        "p50": statistics.median(waits),
        "p95": statistics.quantiles(waits, n=20)[-1],
        "within_50_ms": sum(wait <= 0.05 for wait in waits) / len(waits),
        "tokens_for_one_shown": counting.tokens / used,
        "cpu_seconds_a_choice": seconds,
    }


def give_way(engine: Engine, stops: int) -> dict[str, Any]:
    """Seconds from when a key comes until nothing is written ahead any more, after a restart on a long story.

    The keys come at equal distances through all that is read and written ahead.
    """
    words = " ".join(opening.text for opening in openings()).split()
    room = engine.context - 2 * SamplerSettings().max_new_tokens
    while len(engine.encode(" ".join(words))) < room:
        words *= 2
    while len(engine.encode(" ".join(words))) > room:
        words.pop()
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "fate.db")
        story = store.new_story(" ".join(words))

        def stopped_after(seconds: float) -> float:
            engine.forget()
            game = Playthrough(store, engine, policy_of(engine), story, rng=Random(1))
            choice = [offer.choice for offer in game.offer()][-1]  # from the second time on, one that waits
            assert choice is not None
            key = threading.Event()
            writer = threading.Thread(target=game.look_ahead, args=(choice, key.is_set))
            writer.start()
            writer.join(seconds)
            came = time.perf_counter()
            key.set()
            writer.join()
            return time.perf_counter() - came

        stopped_after(0)
        began = time.perf_counter()
        stopped_after(threading.TIMEOUT_MAX)
        whole = time.perf_counter() - began
        waits = [stopped_after(whole * (i + 0.5) / stops) for i in range(stops)]
        store.close()
    return {
        "whole": whole,
        "waits": waits,
        "p50": statistics.median(waits),
        "p95": statistics.quantiles(waits, n=20)[-1],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "shapes", nargs="*", default=["storyteller", "bloom-560m"], help=", ".join([*SHAPES, "transformers"])
    )
    parser.add_argument("--choices", type=int, default=20)
    parser.add_argument("--stops", type=int, default=40, help="keys that come while it is written ahead")
    parser.add_argument("--reading", type=float, action="append", help="seconds (default: 2 and 6)")
    arguments = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results["machine"] = {"cpu": cpu(), "threads": torch.get_num_threads(), "torch": torch.__version__}
    print(f"{'model':12} {'reading':>8} {'':8} {'p50 wait':>9} {'p95':>8} {'in 50 ms':>9} {'tokens':>7} {'CPU s':>6}")
    for shape in arguments.shapes:
        engine = engine_of(shape)
        results.setdefault(shape, {})
        for reading in arguments.reading or [2.0, 6.0]:
            for name, ahead in (("without", False), ("ahead", True)):
                found = play(engine, arguments.choices, reading, ahead)
                results[shape][f"{reading:g} s, {name}"] = found
                print(
                    f"{shape:12} {reading:6.0f} s {name:>8} {found['p50']:7.3f} s {found['p95']:6.3f} s "
                    f"{found['within_50_ms']:9.0%} {found['tokens_for_one_shown']:7.1f} "
                    f"{found['cpu_seconds_a_choice']:6.2f}",
                    flush=True,
                )
                RESULTS.write_text(json.dumps(results, indent=1))
        found = results[shape]["giving way"] = give_way(engine, arguments.stops)
        print(
            f"{shape:12} gives way after {found['p50']:.3f} s (p50), {found['p95']:.3f} s (p95), "
            f"{max(found['waits']):.3f} s at most"
        )
        RESULTS.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
