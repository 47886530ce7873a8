"""What draws the settings of the next candidates, and says how likely each draw was."""

from fate.policy.uniform import Draw, UniformPolicy

__all__ = ["Draw", "UniformPolicy"]
