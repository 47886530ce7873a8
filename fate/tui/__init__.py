"""The game as a terminal app."""

from fate.tui.app import FateApp

__all__ = ["FateApp"]
