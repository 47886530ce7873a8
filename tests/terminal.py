"""The real program in a real pseudo-terminal, read as a person reads it: from a screen."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pexpect
import pyte

FATE = str(Path(sys.executable).parent / "fate")  # as installed


class Terminal:
    """``fate`` with some arguments on a screen of its own."""

    def __init__(
        self,
        *arguments: str,
        home: Path,
        size: tuple[int, int] = (100, 30),
        command: str = FATE,
        environment: Mapping[str, str] = MappingProxyType({"TERM": "xterm-256color", "COLORTERM": "truecolor"}),
    ) -> None:
        columns, rows = size
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        # pytest-xdist says 80 by 24, and programs would believe it.
        foreign = ("TERM", "COLORTERM", "NO_COLOR", "COLUMNS", "LINES")
        own = {name: value for name, value in os.environ.items() if name not in foreign}
        environment = {**own, "FATE_HOME": str(home), **environment}
        self.process = pexpect.spawn(command, list(arguments), dimensions=(rows, columns), env=environment, timeout=60)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def text(self) -> str:
        """What is on the screen now."""
        while True:
            try:
                self._stream.feed(self.process.read_nonblocking(65536, timeout=0))
            except (pexpect.TIMEOUT, pexpect.EOF):
                return "\n".join(self._screen.display)

    @property
    def looks(self) -> set[tuple[str, str]]:
        """The colours, of letters and behind them, in which anything is written now; see pyte for their names."""
        rows = [self._screen.buffer[n] for n in range(self._screen.lines)]
        letters = [row[n] for row in rows for n in range(self._screen.columns) if row[n].data.strip()]
        return {(letter.bg, letter.fg) if letter.reverse else (letter.fg, letter.bg) for letter in letters}

    @property
    def underlined(self) -> str:
        """What is underlined now."""
        rows = [self._screen.buffer[n] for n in range(self._screen.lines)]
        letters = [row[n] for row in rows for n in range(self._screen.columns)]
        return "".join(letter.data for letter in letters if letter.underscore)

    def wait_for(self, pattern: str, seconds: float = 60) -> re.Match[str]:
        """Wait until the screen shows what matches."""
        end = time.monotonic() + seconds
        while True:
            shown = self.text
            if found := re.search(pattern, shown):
                return found
            assert time.monotonic() < end, f"{pattern!r} did not come:\n{shown}"
            assert self.process.isalive(), f"the program ended:\n{shown}"
            time.sleep(0.02)

    def press(self, keys: str) -> None:
        self.process.send(keys)

    def ended(self) -> int:
        """Read what the program still writes until it has ended: a full terminal would hold it up. Its exit status."""
        self.process.expect(pexpect.EOF)
        self.process.wait()
        status: int = self.process.exitstatus
        return status

    def kill_at(self, *signs: bytes, seconds: float = 30) -> None:
        """SIGKILL as soon as the program has written one of these."""
        end, seen = time.monotonic() + seconds, b""
        while not any(sign in seen for sign in signs):
            assert time.monotonic() < end, f"{signs} did not come: {seen[-2000:]!r}"
            with contextlib.suppress(pexpect.TIMEOUT):
                seen += self.process.read_nonblocking(65536, timeout=0.05)
        self.kill()

    def kill(self) -> None:
        if self.process.isalive():
            self.process.kill(signal.SIGKILL)
        self.process.close(force=True)
