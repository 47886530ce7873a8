"""A model that learns to write what readers chose."""

from fate.learn.examples import Example, LearnError, examples, held_out
from fate.learn.tuning import Measured, Tuning

__all__ = ["Example", "LearnError", "Measured", "Tuning", "examples", "held_out"]
