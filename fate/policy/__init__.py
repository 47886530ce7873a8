"""What draws the settings of the next candidates, and says how likely each draw was."""

from fate.policy.draw import Draw, Policy
from fate.policy.learned import Contest, LearnedPolicy
from fate.policy.uniform import UniformPolicy

__all__ = ["Contest", "Draw", "LearnedPolicy", "Policy", "UniformPolicy"]
