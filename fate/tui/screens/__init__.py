"""The screens; each has its styles beside it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fate.tui.screens.data import DataScreen as DataScreen
    from fate.tui.screens.keys import KeysScreen as KeysScreen
    from fate.tui.screens.library import LibraryScreen as LibraryScreen
    from fate.tui.screens.openings import OpeningsScreen as OpeningsScreen
    from fate.tui.screens.settings import SettingsScreen as SettingsScreen
    from fate.tui.screens.what_if import WhatIfScreen as WhatIfScreen
    from fate.tui.screens.writing import WritingScreen as WritingScreen

MODULES = {
    "DataScreen": "data",
    "KeysScreen": "keys",
    "LibraryScreen": "library",
    "OpeningsScreen": "openings",
    "SettingsScreen": "settings",
    "WhatIfScreen": "what_if",
    "WritingScreen": "writing",
}


def __getattr__(name: str) -> Any:
    """A screen is imported when it is first asked for: the app shows a frame before it needs one."""
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{MODULES[name]}"), name)
