"""fate: three continuations, one choice, a dataset."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from fate.muse import MuseLogitsWarper

__all__ = ["MuseLogitsWarper", "__version__"]


def __getattr__(name: str) -> Any:
    """Public names that need torch are imported when they are first asked for."""
    if name == "MuseLogitsWarper":
        from fate.muse import MuseLogitsWarper

        return MuseLogitsWarper
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
