"""Record a play in a real pseudo-terminal: ``python docs/record.py`` writes docs/play.cast and docs/play.svg.

The program is ``fate`` as it is installed, with its storyteller and a new database; this script reads the screen and
presses the keys. Times are those that were measured, except that no pause is longer than IDLE seconds: loading and
reading took longer than they seem to. What the storyteller writes differs from one recording to the next; the one that
is kept was picked among several for its story.

play.cast is for asciinema (asciicast v2); play.svg shows the same without a program, and the keys as well.
"""

from __future__ import annotations

import codecs
import html
import json
import os
import sys
import tempfile
import time
from itertools import groupby, pairwise
from pathlib import Path
from typing import NamedTuple

import pexpect
import pyte
from pyte.screens import Char

DOCS = Path(__file__).parent
FATE = Path(sys.executable).parent / "fate"
COLUMNS, ROWS = 116, 28
IDLE = 1.5  # seconds; the longest pause that is kept
PLAY = (  # what the screen shows, for how long a person then looks at it, and the key that is pressed
    ("how does it begin", 1.5, "\r"),
    ("choice 1 · which one", 1.5, "1"),
    ("choice 2 · which one", 1.5, "2"),
    ("choice 3 · which one", 1.5, "r"),
    ("choice 3 · which one", 1.0, "\x1b[C"),
    ("▶ 2", 0.7, "\r"),
    ("choice 4 · which one", 1.0, "p"),
    (" ─╯", 1.5, "3"),  # parameters in the frame of a card
    ("choice 5 · which one", 1.0, "b"),
    ("your path", 1.5, "\x1b[A"),
    ("your path", 0.3, "\x1b[A"),
    ("your path", 0.3, "\x1b[A"),
    ("your path", 1.0, "b"),
    ("choice 5 · which one", 1.5, ""),
)
KEYS = {"\r": "enter", "\x1b[A": "↑", "\x1b[C": "→"}


class Event(NamedTuple):
    """Something that was written by the program (``o``) or typed (``i``), and when."""

    at: float
    kind: str
    text: str


class Frame(NamedTuple):
    """A screen, row by row, and the key that was pressed last."""

    at: float
    rows: tuple[tuple[Char, ...], ...]
    key: str


def record() -> list[Event]:
    """The play of PLAY."""
    screen = pyte.Screen(COLUMNS, ROWS)
    stream, decoder = pyte.Stream(screen), codecs.getincrementaldecoder("utf-8")()
    events: list[Event] = []
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "FATE_HOME": home, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        process = pexpect.spawn(str(FATE), dimensions=(ROWS, COLUMNS), env=environment)

        def watch(seconds: float, sign: str = "") -> None:
            """For some seconds, or until there is a sign."""
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                try:
                    text = decoder.decode(process.read_nonblocking(65536, timeout=0.02))
                except pexpect.TIMEOUT:
                    text = ""
                if text:
                    events.append(Event(time.monotonic(), "o", text))
                    stream.feed(text)
                if sign and sign in "\n".join(screen.display):
                    return
            assert not sign, f"{sign!r} did not come:\n" + "\n".join(screen.display)

        try:
            for sign, seconds, key in PLAY:
                watch(60, sign)
                watch(seconds)
                if key:
                    events.append(Event(time.monotonic(), "i", key))
                    process.send(key)
                    watch(0.3)  # until what was there is gone
        finally:
            process.close(force=True)
    return events


def shortened(events: list[Event]) -> list[Event]:
    """The same from zero and without long pauses."""
    now, told = 0.0, [events[0]._replace(at=0.0)]
    for before, event in pairwise(events):
        now += min(event.at - before.at, IDLE)
        told.append(event._replace(at=now))
    return told


def asciicast(events: list[Event]) -> str:
    """A header, and a line for each event."""
    header = {"version": 2, "width": COLUMNS, "height": ROWS, "title": "fate", "env": {"TERM": "xterm-256color"}}
    lines = [header, *([round(event.at, 3), event.kind, event.text] for event in events)]
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


# --- as a picture that moves ----------------------------------------------------------------------

WIDTH, HEIGHT, SIZE = 9.64, 19, 16  # of a letter in pixels, and the size of its font
FONT = "'Fira Code','DejaVu Sans Mono',Menlo,Consolas,monospace"
LETTER, PAPER = "e0e0e0", "121212"  # colours where the program has said none
RESTED = 0.015  # seconds without a byte, after which a screen is whole
SHORTEST = 0.08  # seconds of a frame


def frames(events: list[Event]) -> list[Frame]:
    """The screen whenever the program had written something and rested."""
    screen, key, shown = pyte.Screen(COLUMNS, ROWS), "", []
    stream = pyte.Stream(screen)
    for event, following in pairwise([*events, Event(events[-1].at + IDLE, "o", "")]):
        if event.kind == "i":
            key = KEYS.get(event.text, event.text)
        else:
            stream.feed(event.text)
        rest = following.at - event.at
        if rest < RESTED or (shown and event.at - shown[-1].at < SHORTEST and rest < SHORTEST):
            continue
        rows = tuple(tuple(screen.buffer[y][x] for x in range(COLUMNS)) for y in range(ROWS))
        if not shown or (rows, key) != shown[-1][1:]:
            shown.append(Frame(event.at, rows, key))
    return shown


def colours(letter: Char) -> tuple[str, str]:
    """Of a letter and of what is behind it."""
    front = LETTER if letter.fg == "default" else letter.fg
    back = PAPER if letter.bg == "default" else letter.bg
    return (back, front) if letter.reverse else (front, back)


def drawn(row: tuple[Char, ...]) -> str:
    """A row as SVG: what is behind it, and words where they stand, whatever font there is."""
    parts, x = [], 0
    for (front, back, bold, italics), run in groupby(row, lambda c: (*colours(c), c.bold, c.italics)):
        text = "".join(letter.data for letter in run)
        wide = len(text) * WIDTH
        if back != PAPER:
            parts.append(f'<rect x="{x * WIDTH:.2f}" width="{wide + 0.3:.2f}" height="{HEIGHT}" fill="#{back}"/>')
        left = x + len(text) - len(text.lstrip())
        x += len(text)
        if text := text.strip():
            style = ' font-weight="bold"' * bold + ' font-style="italic"' * italics
            parts.append(
                f'<text x="{left * WIDTH:.2f}" y="14.5" textLength="{len(text) * WIDTH:.2f}" fill="#{front}"{style}>'
                f"{html.escape(text, quote=False)}</text>"
            )
    return "".join(parts)


def animated(shown: list[Frame]) -> str:
    """All frames below each other, of which one is seen at a time; rows that come again are drawn once."""
    drawings: dict[str, int] = {}
    strip, steps, length = [], [], shown[-1].at + IDLE
    tall = (ROWS + 1) * HEIGHT  # the keys have a row of their own
    for number, frame in enumerate(shown):
        uses = []
        for y, row in enumerate(frame.rows):
            if drawing := drawn(row):
                uses.append(f'<use href="#r{drawings.setdefault(drawing, len(drawings))}" y="{y * HEIGHT}"/>')
        if frame.key:
            x, y = COLUMNS * WIDTH / 2, ROWS * HEIGHT + 14.5
            uses.append(f'<text x="{x:.0f}" y="{y}" text-anchor="middle" fill="#fea62b">key: {frame.key}</text>')
        strip.append(f'<g transform="translate(0 {number * tall})">{"".join(uses)}</g>')
        steps.append(f"{frame.at / length:.3%}{{transform:translateY(-{number * tall}px)}}")
    wide = COLUMNS * WIDTH
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-10 -10 {wide + 20:.0f} {tall + 20}">',
            "<title>A play of fate: candidates are written, and one is chosen with a key</title>",
            f"<style>text{{font-family:{FONT};font-size:{SIZE}px;white-space:pre}}",
            f"#strip{{animation:play {length:.2f}s steps(1,end) infinite}}@keyframes play{{{''.join(steps)}}}</style>",
            f'<rect x="-10" y="-10" width="{wide + 20:.0f}" height="{tall + 20}" rx="8" fill="#{PAPER}"/>',
            "<defs>",
            *(f'<g id="r{number}">{drawing}</g>' for drawing, number in drawings.items()),
            "</defs>",
            f'<svg width="{wide:.0f}" height="{tall}"><g id="strip">',
            *strip,
            "</g></svg>",
            "</svg>",
        ]
    )


def main() -> None:
    events = shortened(record())
    shown = frames(events)
    (DOCS / "play.cast").write_text(asciicast(events), encoding="utf-8")
    (DOCS / "play.svg").write_text(animated(shown), encoding="utf-8")
    print(f"{events[-1].at:.1f} s, {len(shown)} frames")


if __name__ == "__main__":
    main()
