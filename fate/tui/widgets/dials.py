"""Sampler settings to turn up and down, one of them selected."""

from __future__ import annotations

from dataclasses import replace

from textual.content import Content
from textual.widgets import Static

from fate.core.sampling import SamplerSettings

# Each setting that can be turned: by how much at a time, and how far it goes.
_DIALS = {
    "temperature": (0.1, 0.1, 3.0),
    "top_k": (10, 1, 500),
    "typical_p": (0.05, 0.05, 1.0),
    "muse_damp": (0.1, 0, 2),
}


class Dials(Static):
    """Settings as they are turned to, beside what they were."""

    def __init__(self, was: SamplerSettings) -> None:
        super().__init__(id="dials", markup=False)
        self.settings = self._was = was
        self._turns = dict.fromkeys(_DIALS, 0)
        self._selected = 0

    def on_resize(self) -> None:
        self._say()

    def select(self, by: int) -> None:
        self._selected = (self._selected + by) % len(_DIALS)
        self._say()

    def turn(self, by: int) -> bool:
        """Turn the selected one; False if it goes no further."""
        name, (step, least, most) = list(_DIALS.items())[self._selected]
        was = getattr(self._was, name)
        value = was + (self._turns[name] + by) * step  # counted from the beginning, so that there and back is the same
        if not least <= value <= most:
            return False
        self._turns[name] += by
        self.settings = replace(self.settings, **{name: type(was)(value)})
        self._say()
        return True

    def reset(self) -> None:
        self.settings, self._turns = self._was, dict.fromkeys(_DIALS, 0)
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


if __name__ == "__main__":
    from fate.tui.widgets._demo import show

    show(lambda: Dials(SamplerSettings()), lambda dials: dials.turn(2), screen="what_if")
