"""Model, tokenizer and decode loop; knows no screen and no database."""

from fate.engine.decoding import Engine, Generation
from fate.engine.loading import EngineError, load

__all__ = ["Engine", "EngineError", "Generation", "load"]
