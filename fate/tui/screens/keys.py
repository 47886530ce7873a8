"""What every key does on the screen below, read from its bindings."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table
from textual.app import ComposeResult
from textual.binding import ActiveBinding, Binding
from textual.containers import VerticalScroll
from textual.keys import format_key
from textual.screen import ModalScreen
from textual.widgets import Static


class KeysScreen(ModalScreen[None]):
    """A table of keys; any of escape, enter, q and ? closes it."""

    CSS_PATH = "keys.tcss"
    BINDINGS = [Binding("escape,enter,q,question_mark", "dismiss", "Close", id="keys.close")]

    def __init__(self, bindings: Iterable[ActiveBinding]) -> None:
        super().__init__()
        self._bindings_below = list(bindings)

    def compose(self) -> ComposeResult:
        keys_of: dict[str, list[str]] = {}
        for _, binding, enabled, tooltip in self._bindings_below:
            if enabled and binding.id:
                keys = keys_of.setdefault(tooltip or binding.description, [])
                keys.append(format_key(binding.key))
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(justify="right", style="bold", no_wrap=True)
        table.add_column()
        for meaning, keys in keys_of.items():
            table.add_row(" ".join(keys), meaning)
        with VerticalScroll(id="keys") as box:
            box.border_title = "Keys"
            yield Static(table)
