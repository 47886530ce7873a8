"""A story that is played without a screen."""

from random import Random

from fate.core.sampling import SamplerSettings, SettingsRanges
from fate.playthrough import Playthrough
from fate.policy import UniformPolicy
from tests.fakes import FakeEngine

OPENING = "The old man looked at the sea."
POLICY = UniformPolicy(SettingsRanges())
BEST_OF_TWO = UniformPolicy(SettingsRanges(fixed=SamplerSettings(best_of=2)))


def playing(store, engine=None, seed=0, story=None, policy=POLICY):
    story = story or store.new_story(OPENING)
    return Playthrough(store, engine or FakeEngine(), policy, story, rng=Random(seed))


def offered(playthrough, **options):
    return list(playthrough.offer(**options))[-1].choice
