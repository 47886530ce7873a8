"""The reader's own keys: which bindings there are, and whether other keys can be given to them."""

from __future__ import annotations

import string
from collections.abc import Mapping
from functools import cache

from textual.binding import Binding
from textual.dom import DOMNode
from textual.keys import Keys, format_key

from fate.core.errors import FateError
from fate.tui import screens

# Keys that Textual answers first: in every screen, and where there is something to move about in.
_FRAMEWORKS = {"ctrl+p", "ctrl+c", "tab", "shift+tab"}
_MOVES = {"up", "down", "left", "right", "home", "end", "pageup", "pagedown", "enter"}
_MODIFIERS = {"ctrl", "shift", "alt", "super"}


@cache
def bindings() -> dict[str, Binding]:
    """Every binding of the screens by its id, which begins with the screen's name; its keys are divided by commas."""
    for name in screens.MODULES:
        getattr(screens, name)  # a binding is known once its screen is imported
    classes, found = [DOMNode], {}
    for cls in classes:
        classes += cls.__subclasses__()
        if cls.__module__.startswith("fate.tui"):
            own = (binding for binding in vars(cls).get("BINDINGS", ()) if isinstance(binding, Binding))
            found.update({binding.id: binding for binding in own if binding.id})
    return found


def key_of(name: str, keymap: Mapping[str, str]) -> str:
    """The first key of a binding, as it is written for a reader."""
    return format_key(_keys(keymap.get(name, bindings()[name].key))[0])


def check_keymap(keymap: Mapping[str, str]) -> None:
    """Raises FateError for an id or a key that there is not, and for a key that would mean two things."""
    known = bindings()
    for name, keys in keymap.items():
        if name not in known:
            raise FateError(f"There is no key {name!r} to change; writing.reroll is one, and ? shows what keys do.")
        for key in _keys(keys):
            if not _is_key(key):
                raise FateError(f"{key!r} is no key that {name} could have; f2 or ctrl+n would be.")
            moves = key in _MOVES and _screen(name) != "writing" and key not in _keys(known[name].key)
            if key in _FRAMEWORKS or moves:
                raise FateError(f"{key} has its meaning everywhere; give another key to {name}.")
            beside = [n for n in known if n != name and _screen(n) in (_screen(name), "app")]
            taken = next((n for n in beside if key in _keys(keymap.get(n, known[n].key))), None)
            if taken and key not in _keys(known[name].key):
                words = known[taken].description
                raise FateError(f"{key} is {taken} already ({words}); give that another key first.")


def _screen(name: str) -> str:
    return name.partition(".")[0]


def _keys(keys: str) -> list[str]:
    """Keys by their long names, as in ``question_mark``."""
    return [binding.key for binding in Binding.make_bindings([Binding(keys, "")])] if keys.strip(", ") else [""]


@cache
def _names() -> set[str]:
    signs = {name for sign in string.punctuation.replace(",", "") for name in _keys(sign)} | {"comma"}
    return {key.value for key in Keys} | signs


def _is_key(key: str) -> bool:
    *modifiers, last = key.split("+")
    return set(modifiers) <= _MODIFIERS and (len(last) == 1 or last in _names())
