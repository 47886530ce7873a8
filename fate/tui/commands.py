"""What keys do, in the command palette: all of the screen below, and what can be had everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.types import IgnoreReturnCallbackType

SETTINGS = "Settings: model, ranges, theme, keys"
DATA = "Choices: numbers and plots of all; export"

THEME = "Theme: pick another"

_EVERYWHERE = {"app.data": DATA, "app.settings": SETTINGS, "app.change_theme": THEME}


class KeyCommands(Provider):
    """One command for each meaning of a key."""

    async def discover(self) -> Hits:
        for words, command in self._commands():
            yield DiscoveryHit(words, command)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for words, command in self._commands():
            if (score := matcher.match(words)) > 0:
                named = words.lower().startswith(query.lower())  # comes before letters that stand anywhere
                yield Hit(score + 1000 * named, matcher.highlight(words), command)

    def _commands(self) -> Iterator[tuple[str, IgnoreReturnCallbackType]]:
        named = set()
        for node, binding, enabled, tooltip in self.screen.active_bindings.values():
            if enabled and binding.id and binding.action not in named:
                named.add(binding.action)
                name = binding.description
                if binding.id.startswith("writing.choose"):
                    name += f" {binding.key}"  # candidates differ only in their number
                said = tooltip.lower().startswith(name.lower())
                words = tooltip if said else f"{name}: {tooltip[:1].lower()}{tooltip[1:]}"
                yield words, partial(self.app.run_action, binding.action, node)
        for action, words in _EVERYWHERE.items():
            if action not in named:
                yield words, partial(self.app.run_action, action)
