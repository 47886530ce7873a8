"""How soon the screen answers a key while candidates are being written: ``python benchmarks/responsiveness.py``.

The real program with the real storyteller in a real pseudo-terminal. A reroll sets the engine to work; in the midst
of it an arrow key moves the mark, and the time from the key to the moved mark on the screen is taken. Beside it
stands the same with an idle engine, and the time from the command to the first frame. Run it alone on the machine;
the figures go to the terminal and into ``responsiveness.json`` beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import statistics
import sys
import tempfile
import time
from pathlib import Path
from random import Random

import pexpect
import pyte

RESULTS = Path(__file__).with_suffix(".json")
SIZE = (120, 40)


class Screen:
    """The program, and what its terminal shows."""

    def __init__(self, home: str) -> None:
        columns, rows = SIZE
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        environment = {**os.environ, "FATE_HOME": home, "TERM": "xterm-256color"}
        opening = "Once upon a time there was a lighthouse keeper who collected voices."
        command = [str(Path(sys.executable).parent / "fate"), "play", opening]
        self.began = time.perf_counter()
        self._process = pexpect.spawn(command[0], command[1:], dimensions=(rows, columns), env=environment)

    def press(self, key: str) -> None:
        self._process.send(key)

    def until(self, shown: str, seconds: float = 60) -> float:
        """When the screen shows a text."""
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            if select.select([self._process.child_fd], [], [], 0.5)[0]:
                self._stream.feed(self._process.read_nonblocking(65536, timeout=0))
            if any(shown in line for line in self._screen.display):
                return time.perf_counter()
        raise SystemExit(f"{shown!r} did not come:\n" + "\n".join(self._screen.display))

    def rest(self, seconds: float) -> None:
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            if select.select([self._process.child_fd], [], [], left)[0]:
                self._stream.feed(self._process.read_nonblocking(65536, timeout=0))

    def close(self) -> None:
        self._process.close(force=True)


def quantiles(seconds: list[float]) -> dict[str, object]:
    milliseconds = [1000 * s for s in seconds]
    cuts = statistics.quantiles(milliseconds, n=20)
    return {"p50": statistics.median(milliseconds), "p95": cuts[-1], "worst": max(milliseconds), "all": milliseconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60)
    rounds = parser.parse_args().rounds
    rng, idle, busy, first = Random(0), [], [], []
    for _ in range(5):
        with tempfile.TemporaryDirectory() as home:
            screen = Screen(home)
            first.append(screen.until("lighthouse keeper") - screen.began)
            screen.close()
    with tempfile.TemporaryDirectory() as home:
        screen = Screen(home)
        screen.until("which one?")
        screen.rest(3)
        for place in [2, 3, 1] * (rounds // 3):
            pressed = time.perf_counter()
            screen.press("\x1b[C")
            idle.append(screen.until(f"▶ {place}") - pressed)
            screen.rest(0.2)
        for _ in range(rounds):
            screen.press("r")
            screen.until("writing")
            screen.rest(0.02 + rng.random() * 0.08)
            pressed = time.perf_counter()
            screen.press("\x1b[C")
            busy.append(screen.until("▶ 2") - pressed)
            screen.until("which one?")
            screen.rest(1.2)  # until what is written ahead is there, too
        screen.close()
    results = {"first frame": quantiles(first), "idle": quantiles(idle), "while three are written": quantiles(busy)}
    RESULTS.write_text(json.dumps(results, indent=1))
    for name, found in results.items():
        print(f"{name:24} p50 {found['p50']:6.1f} ms   p95 {found['p95']:6.1f} ms   worst {found['worst']:6.1f} ms")


if __name__ == "__main__":
    main()
