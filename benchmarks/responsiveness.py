"""How soon the screen answers a key while candidates are written: ``python benchmarks/responsiveness.py``.

The real program in a real pseudo-terminal, with a Llama of 135 million random weights: it is at work for a second or
more at a time, where the storyteller would be done before a second key. An arrow key moves the mark from card to
card, and the time from the key to the bytes that show it is taken: with an idle engine, while three candidates are
written, and while nine are written ahead. Beside it stands the time from the command to its first frame, which is
drawn by hand, to the first that the app draws, and to the story. Run it alone on the machine; the figures go to the
terminal and into ``responsiveness.json`` beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from random import Random

import pexpect
import pyte

from fate.paths import storyteller

RESULTS = Path(__file__).with_suffix(".json")
SIZE = (120, 40)
OPENING = "Once upon a time there was a lighthouse keeper who collected voices."
RIGHT = "\x1b[C"


class Screen:
    """The program, and what its terminal shows."""

    def __init__(self, folder: Path, model: Path | None, *, ahead: bool) -> None:
        columns, rows = SIZE
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        home = {"FATE_HOME": str(folder), "FATE_LOOK_AHEAD": str(ahead).lower()}
        environment = {**os.environ, **home, "TERM": "xterm-256color"}
        arguments = ["play", OPENING, *(("--model", str(model)) if model else ())]
        self.began = time.perf_counter()
        self._process = pexpect.spawn(
            str(Path(sys.executable).parent / "fate"), arguments, dimensions=(rows, columns), env=environment
        )
        self._process.delaybeforesend = None  # pexpect waits 50 ms before it sends, if it is let

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.close(force=True)

    def press(self, key: str) -> None:
        self._process.send(key)

    def shows(self, text: str) -> bool:
        return any(text in line for line in self._screen.display)

    def is_coloured(self) -> bool:
        return self._screen.buffer[0][1].bg != "default"

    def until(self, text: str, seconds: float = 120, *, coloured: bool = False) -> float:
        """When the bytes came that show a text, if need be below a coloured bar."""
        end, came = time.perf_counter() + seconds, time.perf_counter()
        while not self.shows(text) or (coloured and not self.is_coloured()):
            if time.perf_counter() > end:
                raise SystemExit(f"{text!r} did not come:\n" + "\n".join(self._screen.display))
            if select.select([self._process.child_fd], [], [], 0.5)[0]:
                data = self._process.read_nonblocking(65536, timeout=0)
                came = time.perf_counter()
                self._stream.feed(data)
        return came

    def rest(self, seconds: float) -> None:
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            if select.select([self._process.child_fd], [], [], left)[0]:
                self._stream.feed(self._process.read_nonblocking(65536, timeout=0))

    def move(self) -> float:
        """Milliseconds from the key that marks the next card to the mark."""
        marked = next(place for place in (1, 2, 3) if self.shows(f"▶ {place}"))
        pressed = time.perf_counter()
        self.press(RIGHT)
        return 1000 * (self.until(f"▶ {marked % 3 + 1}") - pressed)


def start() -> tuple[float, float, float]:
    """Milliseconds from the command to its first frame, the app's own, and the story, in a new database."""
    with tempfile.TemporaryDirectory() as folder, Screen(Path(folder), None, ahead=True) as screen:
        first = screen.until("opening the book")
        own = screen.until("opening the book", coloured=True)
        story = screen.until("lighthouse keeper")
        return 1000 * (first - screen.began), 1000 * (own - screen.began), 1000 * (story - screen.began)


def keys(model: Path, samples: int) -> dict[str, list[float]]:
    rng, found = Random(0), {"idle": [], "while three are written": [], "while nine are written ahead": []}
    with tempfile.TemporaryDirectory() as folder, Screen(Path(folder), model, ahead=False) as screen:
        screen.until("which one?")
        screen.rest(2)
        while len(found["idle"]) < samples:
            found["idle"].append(screen.move())
            screen.rest(0.1 + 0.1 * rng.random())
    with tempfile.TemporaryDirectory() as folder, Screen(Path(folder), model, ahead=True) as screen:
        ahead, now = found["while nine are written ahead"], found["while three are written"]
        while len(now) < samples:
            screen.until("which one?")
            for _ in range(5):
                screen.rest(0.1 + 0.1 * rng.random())
                ahead.append(screen.move())
            screen.rest(0.3)
            screen.press("r")
            screen.until("writing")
            while True:
                screen.rest(0.05 + 0.1 * rng.random())
                milliseconds = screen.move()
                if screen.shows("which one?"):
                    break  # they may have been complete before the key
                now.append(milliseconds)
    return found


def quantiles(milliseconds: list[float]) -> dict[str, object]:
    cuts = statistics.quantiles(milliseconds, n=20)
    return {"p50": statistics.median(milliseconds), "p95": cuts[-1], "worst": max(milliseconds), "all": milliseconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=100)
    samples = parser.parse_args().samples
    starts = zip(*(start() for _ in range(20)), strict=True)
    found = dict(zip(("first frame", "the app's own", "story on the screen"), map(list, starts), strict=True))
    from benchmarks.shapes import SHAPES, model_of  # with PyTorch, whose pages would make each start above slower

    with tempfile.TemporaryDirectory() as folder:
        SHAPES["135m"].vocab_size = 8192  # the storyteller's, whose tokenizer spells what is drawn
        model_of("135m").half().save_pretrained(folder)
        for part in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(storyteller() / part, folder)
        found |= keys(Path(folder), samples)
    results = {name: quantiles(milliseconds) for name, milliseconds in found.items()}
    RESULTS.write_text(json.dumps(results, indent=1))
    for name, figures in results.items():
        print(
            f"{name:30} p50 {figures['p50']:6.1f} ms   p95 {figures['p95']:6.1f} ms   worst {figures['worst']:6.1f} ms"
        )


if __name__ == "__main__":
    main()
