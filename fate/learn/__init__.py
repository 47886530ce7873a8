"""A model that learns to write what readers chose."""

from fate.learn.examples import Example, LearnError, examples, split
from fate.learn.tuning import Measured, Tuning

__all__ = ["Example", "LearnError", "Measured", "Tuning", "examples", "split"]
