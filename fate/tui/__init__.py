"""The game as a terminal app."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fate.tui.app import FateApp

__all__ = ["FateApp"]


def __getattr__(name: str) -> Any:
    """The app is imported when it is first asked for, so that one of its widgets can run by itself."""
    if name == "FateApp":
        from fate.tui.app import FateApp

        return FateApp
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
