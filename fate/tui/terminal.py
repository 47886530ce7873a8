"""What every app owes the terminal that it runs in."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

from textual import events
from textual.app import App
from textual.filter import LineFilter, NoColor

from fate.core.text import as_shown, harmless
from fate.tui.clipboard import hand_over, passed_on
from fate.tui.widgets.too_small import LEAST, TooSmall


class TerminalApp(App[None]):
    """Shows and copies texts that cannot steer the terminal, and covers itself where that is too small.

    Under NO_COLOR (https://no-color.org) it has the terminal's own two colours; what is marked is then in reverse, or
    underlined.
    """

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
        """As Textual does, with a cover that waits for the terminal to become too small."""
        pushed = super().push_screen(*args, **kwargs)
        self.screen.mount(TooSmall())
        return pushed

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.width < LEAST.width or event.size.height < LEAST.height, "-too-small")

    async def on_event(self, event: events.Event) -> None:
        """As Textual does, but nobody answers what cannot be seen yet, or not here; the key that leaves still does."""
        if isinstance(event, events.Paste):
            event.text = harmless("\n".join(event.text.splitlines()))
        if isinstance(event, events.Key) and event.key == "escape":
            self.clear_notifications()
        leaves = isinstance(event, events.Key) and event.key == "ctrl+q"
        unseen = self.has_class("-too-small") or not (self.screen_stack and self.screen.is_mounted)
        if leaves or not (isinstance(event, events.InputEvent | events.Paste) and unseen):
            await super().on_event(event)
