"""What is seen first, drawn by hand: what draws all that follows takes a quarter of a second to import."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

if sys.platform != "win32":
    import termios

WORDS = "opening the book"


@contextmanager
def keys_kept() -> Iterator[None]:
    """What is typed waits unseen, key by key, for the app that is being imported; afterwards all is as before."""
    if "TEXTUAL_DRIVER" in os.environ or sys.platform == "win32":  # the keys are a browser's, or cannot be kept
        yield
        return
    before = termios.tcgetattr(0)
    iflag, oflag, cflag, lflag, *rest = before
    lflag &= ~(termios.ICANON | termios.ECHO)
    termios.tcsetattr(0, termios.TCSANOW, [iflag & ~termios.ICRNL, oflag, cflag, lflag, *rest])
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSANOW, before)


@contextmanager
def first_frame() -> Iterator[None]:
    """Shown while the app is imported, which takes it over; if that fails, the screen is as it was before."""
    if "TEXTUAL_DRIVER" in os.environ or sys.platform == "win32":  # it is a browser's, or may not know the codes
        yield
        return
    _write("\x1b[?1049h\x1b[?25l\x1b[2J" + _drawn(*os.get_terminal_size(sys.stderr.fileno())))
    try:
        yield
    except BaseException:
        _write("\x1b[?1049l\x1b[?25h")
        raise


def _drawn(columns: int, rows: int) -> str:
    """The title at the top and the words in the middle, where the app's own first frame has them."""
    row, column = (rows + 2) // 2, max(0, columns - len(WORDS)) // 2 + 1
    return f"\x1b[1;2H\x1b[1mfate\x1b[0m\x1b[{row};{column}H\x1b[2m{WORDS}\x1b[0m"


def _write(codes: str) -> None:
    sys.stderr.write(codes)  # to which Textual writes as well
    sys.stderr.flush()
