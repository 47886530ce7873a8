"""Stories played by script, so that there is something to export."""

from random import Random

from fate.core.sampling import SettingsRanges
from fate.playthrough import Playthrough
from fate.policy import UniformPolicy
from tests.fakes import TEXTS, FakeEngine

OPENING = "The old man looked at the sea."


def play(store, keys, texts=TEXTS, opening=OPENING, annotator="reader"):
    """Choose (1 2 3), reroll (r), tie (t), edit the second (e), write (w) or undo (u); returns the story's id.

    Say why (?) after any of the first, or look at the parameters (p) before it.
    """
    playthrough = Playthrough(
        store,
        FakeEngine(texts),
        UniformPolicy(SettingsRanges()),
        store.new_story(opening),
        annotator=annotator,
        rng=Random(0),
    )
    for key in keys:
        if key == "u":
            playthrough.undo()
            continue
        if key == "?":
            playthrough.explain(playthrough.unexplained, "style")
            continue
        choice = list(playthrough.offer())[-1].choice
        if key == "r":
            playthrough.reroll(choice, 300)
        elif key == "t":
            playthrough.tie(choice, 300)
        elif key == "e":
            playthrough.edit(choice, choice.candidates[1], " Nobody was there.", 300)
        elif key == "p":
            playthrough.reveal(choice.id)
        elif key == "w":
            playthrough.write(choice, "Then it rained.", 300)
        else:
            playthrough.choose(choice, choice.candidates[int(key) - 1], 300)
    return playthrough.path.story_id
