"""Model, tokenizer and decode loop; knows no screen and no database."""

from fate.engine.decoding import Batch, Engine, Generation
from fate.engine.loading import EngineError, load

__all__ = ["Batch", "Engine", "EngineError", "Generation", "load"]
