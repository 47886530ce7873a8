"""What is seen first, drawn by hand: what draws all that follows takes a quarter of a second to import."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

if sys.platform != "win32":
    import termios

WORDS = "opening the book"


@contextmanager
def first_frame() -> Iterator[Callable[[], None]]:
    """Show it and keep what is typed until the app, which draws the same, has called what this gives.

    Whatever comes first, the end of the block, an exception or a signal: the terminal is then as it was before.
    """
    if "TEXTUAL_DRIVER" in os.environ or sys.platform == "win32":  # it is a browser's, or may not know the codes
        yield lambda: None
        return
    before = termios.tcgetattr(0)
    shown = True

    def take_away() -> None:
        nonlocal shown
        if shown:
            _write("\x1b[?1049l\x1b[?25h")
            shown = False
        termios.tcsetattr(0, termios.TCSANOW, before)

    def leave(number: int, _: object) -> None:  # at once: an exception in the midst of an import could get lost
        try:
            take_away()
        finally:
            os._exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, leave)
    others = {number: signal.signal(number, leave) for number in (signal.SIGHUP, signal.SIGQUIT)}
    others[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, signal.SIG_IGN)  # nobody would draw it again

    def hand_over() -> None:
        nonlocal shown
        shown = False
        for number, handler in others.items():  # the app answers the first two itself
            signal.signal(number, handler)

    _keep_keys(before)
    _write("\x1b[?1049h\x1b[?25l\x1b[2J" + _drawn(*os.get_terminal_size(sys.stderr.fileno())))
    try:
        yield hand_over
    finally:
        take_away()


def _keep_keys(before: list[Any]) -> None:
    """What is typed waits unseen and as it is, key by key."""
    iflag, oflag, cflag, lflag, *rest = before
    iflag &= ~(termios.ICRNL | termios.IXON)
    lflag &= ~(termios.ICANON | termios.ECHO)
    termios.tcsetattr(0, termios.TCSANOW, [iflag, oflag, cflag, lflag, *rest])


def _drawn(columns: int, rows: int) -> str:
    """The title at the top and the words in the middle, where the app's own first frame has them."""
    row, column = (rows + 2) // 2, max(0, columns - len(WORDS)) // 2 + 1
    return f"\x1b[1;2H\x1b[1mfate\x1b[0m\x1b[{row};{column}H\x1b[2m{WORDS}\x1b[0m"


def _write(codes: str) -> None:
    # Where Textual writes as well, but past the buffer: a signal that comes while that is written out may not enter it.
    os.write(sys.stderr.fileno(), codes.encode())
