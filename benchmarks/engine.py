"""How fast the engine writes, beside the ancestor's way: ``python benchmarks/engine.py [SHAPE …]``.

One step is three candidates of 48 tokens after 256 tokens of story. The ancestor calls transformers'
``generate`` three times in fp32 with the sampling options and the Muse, and reads the whole story each time;
fate goes on from what it has read. Both have the same weights: the storyteller's, or random ones at a real
model's shape. With ``--rivals PYTHON``, llama.cpp and CTranslate2 do the same work in the same run (see
``rivals.py``). Run it alone on the machine. The table goes to the terminal and, with all figures, into
``engine.json`` beside this file.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import torch
import transformers
from transformers import AutoTokenizer, LogitsProcessorList

from benchmarks.shapes import SHAPES, model_of, tensors
from fate import MuseLogitsWarper
from fate.core.choice import ModelInfo
from fate.core.sampling import SamplerSettings, SettingsRanges
from fate.engine import native
from fate.engine.decoding import Engine, Generation
from fate.engine.families import describe
from fate.engine.kernels import Precision
from fate.engine.lean import LeanDecoder
from fate.engine.loading import executed
from fate.engine.memory import Size
from fate.engine.warping import Warper
from fate.paths import storyteller

TOKENS, CONTEXT, ROWS = 48, 256, 3
PRECISIONS: tuple[Precision, ...] = ("float32", "float16", "int8")
BYTES = {"float32": 4, "float16": 2, "int8": 1}
RESULTS = Path(__file__).with_suffix(".json")


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


class WordsOf:
    """The storyteller's tokenizer for ids of any vocabulary: what it costs, without the words."""

    def __init__(self) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(storyteller())

    def __call__(self, text: str, **options: Any) -> Any:
        return self._tokenizer(text, **options)

    def decode(self, ids: list[int], **options: Any) -> str:
        text: str = self._tokenizer.decode([i % len(self._tokenizer) for i in ids], **options)
        return text


def drawn(rng: Random) -> tuple[SamplerSettings, ...]:
    """Settings of a step, for candidates of exactly ``TOKENS`` tokens."""
    return SettingsRanges(fixed=SamplerSettings(min_new_tokens=TOKENS, max_new_tokens=TOKENS)).draw(rng, ROWS)


def story(vocabulary: int, tokens: int, seed: int = 0) -> tuple[int, ...]:
    rng = Random(seed)
    return tuple(rng.randrange(10, vocabulary) for _ in range(tokens))


def ancestor(model: Any, tokens: int) -> float:
    """Seconds of one step, the way of the experiment that fate descends from."""
    prompt = torch.tensor([story(model.config.vocab_size, tokens)])
    rng = Random(1)

    def step() -> None:
        for settings in drawn(rng):
            muse = MuseLogitsWarper(settings.muse_top_k, settings.muse_damp, prompt_length=tokens)
            model.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                do_sample=True,
                temperature=settings.temperature,
                top_k=settings.top_k,
                typical_p=settings.typical_p,
                logits_processor=LogitsProcessorList([muse]),
                max_new_tokens=TOKENS,
                min_new_tokens=TOKENS,
                pad_token_id=0,
            )

    return timed(step)


def write(generation: Generation) -> None:
    while not generation.done:
        generation.step()


def held(model: Any, precision: Precision) -> int:
    """Bytes of a weight: weights that are numbers of fp16 are kept as such in float32."""
    halves = precision == "float32" and all(torch.equal(w.half().float(), w) for w in model.parameters())
    return 2 if halves else BYTES[precision]


def lengths(model: Any) -> tuple[int, int]:
    """A short and a long story: 1,000 tokens, or as many as the model can go on from."""
    return 100, min(1000, model.config.max_position_embeddings - TOKENS)


def later_step(engine: Engine, tokens: int, seed: int) -> float:
    """Seconds from a choice to the last token of the next three candidates, at so many tokens of story."""
    rng, vocabulary = Random(seed), engine.decoder.vocabulary  # type: ignore[attr-defined]

    def seeds() -> list[int]:
        return [rng.randrange(2**62) for _ in range(ROWS)]

    before = engine.generate(story(vocabulary, tokens - TOKENS, seed), drawn(rng), seeds())
    write(before)
    prompt = before.prompt_ids + before.rows[1].kept_ids
    return timed(lambda: write(engine.generate(prompt, drawn(rng), seeds())))


def passes(engine: Engine, rows: int, pairs: int) -> tuple[float, float]:
    """Median seconds of one pass over so many rows, and those that warping and drawing a token of each add to it.

    Passes that only score alternate with such that draw as well, in the middle of writing, where the caches hold what
    they hold then; what drawing adds is the median over the pairs.
    """
    decoder, rng = engine.decoder, Random(0)
    scoring: list[float] = []
    drawing: list[float] = []
    while len(drawing) < pairs:
        warper, tokens = Warper(SettingsRanges().draw(rng, rows)), [5] * rows
        decoder.begin([story(8000, CONTEXT)], rows, TOKENS + 1)
        for t in range(TOKENS):
            uniforms = [rng.random() for _ in tokens]
            began = time.perf_counter()
            draws = warper.at(t, uniforms) if t % 2 else None
            scores = decoder.advance(tokens, draws)
            scored = time.perf_counter()
            drawn = (draws and draws.drawn) or warper.draw(scores, scores, t, uniforms)
            done = time.perf_counter()
            if t % 2:
                drawing.append(done - began)
            else:
                scoring.append(scored - began)
            tokens = [token for token, _, _ in drawn]
    return statistics.median(scoring), statistics.median(d - s for s, d in zip(scoring, drawing, strict=True))


def bandwidth() -> float:
    """Bytes a second that a sum over much more memory than the caches reads."""
    much = torch.ones(1 << 28)
    much.sum()
    return much.numel() * 4 / min(timed(much.sum) for _ in range(5))


@contextlib.contextmanager
def kinds_of_products(compiled: bool) -> Iterator[None]:
    """Whether there is a compiler, while something is loaded."""
    library = native.library
    if not compiled:
        native.library = lambda: None  # type: ignore[assignment]
    try:
        yield
    finally:
        native.library = library


def measure(
    shape: str, precisions: list[Precision], repeats: int, growth: bool, rivals: str | None, fallback: bool
) -> dict[str, Any]:
    model = model_of(shape)
    weights = sum(w.numel() for w in model.parameters())
    print(f"\n{shape}: {weights / 1e6:.0f} million weights", flush=True)
    result: dict[str, Any] = {"weights": weights, "ancestor": [], "fate": {}}
    ancestor(model, CONTEXT)
    result["ancestor"] = [ancestor(model, CONTEXT) for _ in range(repeats)]
    line("ancestor, fp32", result["ancestor"], result["ancestor"])
    if growth:
        result["ancestor_growth"] = {tokens: ancestor(model, tokens) for tokens in lengths(model)}
    size = Size(weights, largest=0, per_token=0)
    used = [p for p in precisions if executed(p, size, torch.device("cpu"), lean=True) == p]
    if not used:
        raise SystemExit(f"fate holds {shape} in none of {', '.join(precisions)}; leave out --precision.")
    runs = [(precision, True) for precision in used]
    if fallback:  # in what is chosen there: float32 is no large model's
        runs += [(precision, False) for precision in used if precision != "float32" or used == ["float32"]]
    speed = bandwidth()
    for precision, compiled in runs:
        with kinds_of_products(compiled):
            name = precision if compiled else f"{precision}, no compiler"
            found = result["fate"][name] = fate(model, shape, precision, repeats, growth, speed)
        line(f"fate, {name}", found["steps"], result["ancestor"], found)
        gc.collect()
    if rivals:
        with tempfile.TemporaryDirectory() as folder:
            script = str(Path(__file__).with_name("rivals.py"))
            del model
            gc.collect()
            subprocess.run([sys.executable, script, "--prepare", shape, folder], check=True)
            said = subprocess.run([rivals, script, shape, folder], check=True, capture_output=True, text=True).stdout
        result["rivals"] = json.loads(said.splitlines()[-1])
        for name, seconds in result["rivals"].items():
            if isinstance(seconds, list):
                line(name, seconds, result["ancestor"])
    return result


def fate(model: Any, shape: str, precision: Precision, repeats: int, growth: bool, speed: float) -> dict[str, Any]:
    """All figures of fate's engine with a model's weights in a precision; ``speed`` is the memory's bytes a second."""
    began = time.perf_counter()
    context = min(1200, model.config.max_position_embeddings)
    decoder = LeanDecoder(describe(model.config.to_dict()), tensors(model), precision, context=context)
    loading = time.perf_counter() - began
    info = ModelInfo("bench", "bench", shape, "", "", "", "cpu", torch.get_num_threads(), "{}")
    engine = Engine(decoder, WordsOf(), info, context, eos_ids=())
    later_step(engine, CONTEXT, 0)
    weights = sum(w.numel() for w in model.parameters())
    steps = [later_step(engine, CONTEXT, seed) for seed in range(repeats)]
    pass_of_3, sampling = passes(engine, ROWS, 240)
    found = {
        "steps": steps,
        "pass_of_3": pass_of_3,
        "pass_of_9": passes(engine, 3 * ROWS, 24)[0],
        "sampling": sampling,
        "packing": loading,
        "floor": weights * held(model, precision) / speed * TOKENS,
    }
    if growth:
        found["growth"] = {
            tokens: statistics.median(later_step(engine, tokens, seed) for seed in range(repeats))
            for tokens in lengths(model)
        }
    return found


def line(name: str, seconds: list[float], base: list[float], found: dict[str, Any] | None = None) -> None:
    middle = statistics.median(seconds)
    ratio = statistics.median(base) / middle
    said = f"  {name:28} {middle:8.3f} s ({min(seconds):.3f}-{max(seconds):.3f})  {ratio:6.1f}x"
    if found:
        said += (
            f"  pass of 3 {found['pass_of_3'] * 1e3:.1f} ms, of 9 {found['pass_of_9'] / found['pass_of_3']:.2f}x, "
            f"sampling {found['sampling'] / found['pass_of_3']:.1%}, {middle / found['floor']:.1f} floors"
        )
        if "growth" in found:
            (short, first), (long, last) = found["growth"].items()
            said += f", {long:,} against {short} tokens {last / first:.2f}x"
    print(said, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shapes", nargs="*", default=list(SHAPES), metavar="SHAPE", help=", ".join(SHAPES))
    parser.add_argument("--precision", action="append", choices=PRECISIONS, help="only these (default: all)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-growth", action="store_true", help="leave out steps after short and long stories")
    parser.add_argument("--fallback", action="store_true", help="also as it is on a machine without a C compiler")
    parser.add_argument("--rivals", metavar="PYTHON", help="a Python that has llama-cpp-python and ctranslate2")
    arguments = parser.parse_args()
    transformers.logging.set_verbosity_error()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results["machine"] = {"cpu": cpu(), "threads": torch.get_num_threads(), "torch": torch.__version__}
    for shape in arguments.shapes:
        results[shape] = measure(
            shape,
            arguments.precision or list(PRECISIONS),
            arguments.repeats,
            not arguments.no_growth,
            arguments.rivals,
            arguments.fallback,
        )
        RESULTS.write_text(json.dumps(results, indent=1))


def cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((said.partition(": ")[2] for said in lines if said.startswith("model name")), platform.processor())


if __name__ == "__main__":
    main()
