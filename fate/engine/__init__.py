"""Model, tokenizer and decode loop; knows no screen and no database."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fate.engine.decoding import Batch, Engine, Generation
    from fate.engine.hub import EngineError
    from fate.engine.loading import load

__all__ = ["Batch", "Engine", "EngineError", "Generation", "load"]

_HOMES = {
    "Batch": "decoding",
    "Engine": "decoding",
    "EngineError": "hub",
    "Generation": "decoding",
    "load": "loading",
}


def __getattr__(name: str) -> Any:
    """Names that need torch are imported when they are first asked for; ``fate models`` looks at files only."""
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"fate.engine.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
