"""Sampler settings to turn up and down, one of them selected."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from textual.content import Content
from textual.widgets import Static

from fate.core.sampling import SamplerSettings

# Each setting that can be turned: the step from one round value to the next, the least and the most.
_DIALS = {
    "temperature": (0.1, 0.1, 3.0),
    "top_k": (10, 1, 500),
    "typical_p": (0.05, 0.05, 1.0),
    "muse_damp": (0.1, 0.0, 2.0),
}


class Dials(Static):
    """Settings as they are turned to, beside what they were."""

    def __init__(self, was: SamplerSettings) -> None:
        super().__init__(id="dials", markup=False)
        self.settings = self._was = was
        self._stops = {name: _stops(getattr(was, name), *dial) for name, dial in _DIALS.items()}
        self._selected = 0

    def on_resize(self) -> None:
        self._say()

    def select(self, by: int) -> None:
        self._selected = (self._selected + by) % len(_DIALS)
        self._say()

    def turn(self, by: int) -> bool:
        """Turn the selected one to the next value or the one before; False if it goes no further."""
        name = list(_DIALS)[self._selected]
        stops = self._stops[name]
        place = stops.index(getattr(self.settings, name)) + by
        if not 0 <= place < len(stops):
            return False
        change: dict[str, Any] = {name: stops[place]}
        self.settings = replace(self.settings, **change)
        self._say()
        return True

    def reset(self) -> None:
        self.settings = self._was
        self._say()

    def _say(self) -> None:
        """All of them, with line breaks only between two."""
        parts: list[tuple[str, str]] = []
        room = self.size.width
        for number, name in enumerate(_DIALS):
            value, was = getattr(self.settings, name), getattr(self._was, name)
            selected = number == self._selected
            said = f"{'▶' if selected else ' '} {name} {value:.4g}" + (f" (was {was:.4g}) " if value != was else " ")
            if len(said) > room:
                parts.append(("\n", ""))
                room = self.size.width
            room -= len(said)
            parts.append((said, "bold reverse" if selected else ""))
        self.update(Content.assemble(*parts))


def _stops(was: float, step: float, least: float, most: float) -> list[float]:
    """The round values from the least to the most, and among them what it was."""
    rounded = (round(n * step, 2) for n in range(round(most / step) + 1))
    return sorted({was, least, *(value for value in rounded if value >= least)})


if __name__ == "__main__":
    from fate.tui.widgets._demo import show

    show(lambda: Dials(SamplerSettings()), lambda dials: dials.turn(2), screen="what_if")
