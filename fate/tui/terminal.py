"""What every app owes the terminal that it runs in."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from textual import events
from textual.app import App
from textual.filter import LineFilter, NoColor
from textual.screen import ModalScreen, Screen

from fate.core.text import as_shown, harmless
from fate.tui.clipboard import hand_over, passed_on
from fate.tui.widgets.too_small import LEAST, TooSmall


class TerminalApp(App[None]):
    """Shows and copies texts that cannot steer the terminal, and covers itself where that is too small.

    Under NO_COLOR (https://no-color.org) it has the terminal's own two colours; what is marked is then in reverse, or
    underlined.
    """

    def __init__(self) -> None:
        super().__init__()
        self.has_begun = True  # there is a screen to type for
        self._waiting: deque[events.Event] = deque()
        self._aimed: WeakKeyDictionary[events.Key, Screen[Any]] = WeakKeyDictionary()  # at the screen that was there

    def on_load(self) -> None:
        if not self.is_headless and sys.platform != "win32":
            for number in (signal.SIGINT, signal.SIGTERM):  # else they would leave the screen in the terminal
                leave = partial(self.exit, return_code=128 + number)
                asyncio.get_running_loop().add_signal_handler(number, leave)

    def get_line_filters(self) -> Sequence[LineFilter]:
        return [NoColor()] if self.no_color else super().get_line_filters()

    def notify(self, message: str, **options: Any) -> None:
        """As Textual does, but nothing is said twice at the same time; escape takes all of it away."""
        if (shown := as_shown(message)) not in (notification.message for notification in self._notifications):
            super().notify(shown, **options)

    def copy(self, what: str, text: str) -> None:
        """Give a text to the clipboard, and tell the reader so."""
        self.copy_to_clipboard(harmless(text))
        words = len(text.split())
        self.notify(f"Copied {what}, {words:,} {'word' if words == 1 else 'words'}.", markup=False)

    def copy_to_clipboard(self, text: str) -> None:
        """As Textual does, and through multiplexers, and with the programs of this machine."""
        super().copy_to_clipboard(text)
        if self._driver is not None and not self.is_headless:
            self._driver.write(passed_on(text, os.environ))
            self.run_worker(partial(hand_over, text, os.environ), thread=True)

    # --- a terminal that is too small -------------------------------------------------------------

    def push_screen(self, *args: Any, **kwargs: Any) -> Any:
        """As Textual does, dressed for its size, and with a cover that waits for the terminal to become too small."""
        pushed = super().push_screen(*args, **kwargs)
        self.screen.mount(TooSmall())
        for size, breakpoints in zip(self.size, (self.HORIZONTAL_BREAKPOINTS, self.VERTICAL_BREAKPOINTS), strict=True):
            reached = [name for least, name in breakpoints or () if size >= least]
            self.screen.add_class(*reached[-1:])  # before it is laid out: Textual does so afterwards
        return pushed

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.width < LEAST.width or event.size.height < LEAST.height, "-too-small")

    # --- what is typed ----------------------------------------------------------------------------

    async def on_event(self, event: events.Event) -> None:
        """As Textual does, but what is typed in one go with a key that opens a question is an answer to it.

        So is what is typed before the app has its first screen. Any other screen answers no key that was pressed before
        it could be seen.
        """
        asks = isinstance(self.screen, ModalScreen) if self.screen_stack else False
        if isinstance(event, events.Key) and event.is_forwarded and asks and self._aimed.get(event) is not self.screen:
            event = events.Key(event.key, event.character)  # it had reached the screen below
        if not isinstance(event, events.InputEvent | events.Paste):
            await super().on_event(event)
        elif event.is_forwarded:
            if self._takes_keys:
                await super().on_event(event)
        elif self._takes_keys and not self._waiting:
            await self._answer(event)
        elif self._waiting or asks or not self.has_begun:
            self._waiting.append(event)
            if len(self._waiting) == 1:
                self.call_after_refresh(self._let_in)

    @property
    def _takes_keys(self) -> bool:
        return self.has_begun and self.screen.is_mounted

    async def _let_in(self) -> None:
        """Let what waits have its effect, one key after the other: a key may open what the next is for."""
        if self._takes_keys:
            await self._answer(self._waiting.popleft())
        if self._waiting:
            self.call_after_refresh(self._let_in)

    async def _answer(self, event: events.Event) -> None:
        """Nobody answers what cannot be seen; the key that leaves still does."""
        if isinstance(event, events.Paste):
            event.text = harmless("\n".join(event.text.splitlines()))
        if isinstance(event, events.Key) and event.key == "escape":
            self.clear_notifications()
        if isinstance(event, events.Key):
            self._aimed[event] = self.screen
        leaves = isinstance(event, events.Key) and event.key == "ctrl+q"
        if leaves or not self.has_class("-too-small"):
            await super().on_event(event)
