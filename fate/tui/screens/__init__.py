"""The screens; each has its styles beside it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fate.tui.screens.ask import ConfirmScreen as ConfirmScreen
    from fate.tui.screens.ask import LineScreen as LineScreen
    from fate.tui.screens.data import DataScreen as DataScreen
    from fate.tui.screens.keys import KeysScreen as KeysScreen
    from fate.tui.screens.library import LibraryScreen as LibraryScreen
    from fate.tui.screens.openings import OpeningsScreen as OpeningsScreen
    from fate.tui.screens.passage import PassageScreen as PassageScreen
    from fate.tui.screens.settings import SettingsScreen as SettingsScreen
    from fate.tui.screens.tree import TreeScreen as TreeScreen
    from fate.tui.screens.what_if import WhatIfScreen as WhatIfScreen
    from fate.tui.screens.writing import WritingScreen as WritingScreen

MODULES = {
    "ConfirmScreen": "ask",
    "DataScreen": "data",
    "KeysScreen": "keys",
    "LibraryScreen": "library",
    "LineScreen": "ask",
    "OpeningsScreen": "openings",
    "PassageScreen": "passage",
    "SettingsScreen": "settings",
    "TreeScreen": "tree",
    "WhatIfScreen": "what_if",
    "WritingScreen": "writing",
}


def __getattr__(name: str) -> Any:
    """A screen is imported when it is first asked for: the app shows a frame before it needs one."""
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{MODULES[name]}"), name)
