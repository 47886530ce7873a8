"""The game as numbered lines and typed answers: for screen readers, pipes and scripts."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from random import Random
from typing import TYPE_CHECKING, TextIO

from fate.core.choice import REASONS, Choice, Decision, DecisionKind
from fate.core.story import StorySummary
from fate.core.text import harmless

if TYPE_CHECKING:
    from fate.openings import Opening
    from fate.playthrough import Playthrough
    from fate.store import Store

HELP = (
    "1, 2 or 3 takes a candidate, r writes others, t calls it a tie, e2 edits the second, w writes a passage of your "
    "own, u goes back, U forth again, p tells the parameters, q leaves; after a choice, "
    f"{', '.join(REASONS)} says why it was made"
)


class Plain:
    """Reads answers from one stream and writes lines to another; the end of the input leaves the game."""

    def __init__(self, answers: TextIO = sys.stdin, out: TextIO = sys.stdout) -> None:
        self._answers = answers
        self._out = out
        self._loading = ("", 0.0)  # what was last said of it, and when
        self._over = False  # there is no more input

    def say(self, *lines: str) -> None:
        for line in lines:
            print(harmless(line), file=self._out, flush=True)

    def tell_loading(self, doing: str) -> None:
        """Say what the loading of the model is doing: a step once, a number that grows every few seconds."""
        step, _, grown = doing.partition(", ")
        now = time.monotonic()
        if grown and (step != self._loading[0] or now - self._loading[1] >= 5):
            self.say(f"({doing})")
            self._loading = step, now

    def ask(self, question: str) -> str | None:
        """The next line of the input without spaces around it; None at its end."""
        print(f"{question} > ", end="", file=self._out, flush=True)
        line = self._answers.readline()
        self._over = not line
        if not self._answers.isatty():
            self.say("" if line else "(end of input)")
        return line.strip() if line else None

    def choose_story(self, stories: Iterable[StorySummary]) -> str | None:
        """The id of a story to go on with; None for a new one, or at the end of the input."""
        listed = list(stories)
        self.say(*(f"{number}. {story.title} ({story.length})" for number, story in enumerate(listed, 1)))
        answer = self._number("Number of a story, or enter for a new one", len(listed))
        return listed[int(answer) - 1].id if answer else None

    def choose_opening(self, openings: Iterable[Opening]) -> str | None:
        """The text of an opening that was picked by number, or typed; None at the end of the input."""
        if self._over:
            return None
        listed = list(openings)
        self.say(*(f"{number}. {opening.genre}: {opening.text}" for number, opening in enumerate(listed, 1)))
        while (answer := self.ask("Number of an opening, or the first words of your own")) is not None:
            if answer.isdecimal() and 1 <= int(answer) <= len(listed):
                return listed[int(answer) - 1].text
            if answer and not answer.isdecimal():
                return answer
        return None

    def play(self, playthrough: Playthrough) -> None:
        """Offer and ask until the reader leaves."""
        self.say("(1, 2 or 3 takes a candidate; ? tells the other answers)", "", playthrough.path.text, "")
        path = playthrough.path
        past_the_end = path.tip_id if playthrough.store.open_choice(path.story_id) else None
        while True:
            path = playthrough.path
            if path.ended and path.tip_id != past_the_end:
                answer = self.ask("The end. r writes on, u goes back, q leaves")
                if answer == "r":
                    past_the_end = path.tip_id
                elif answer == "u":
                    self._undo(playthrough)
                elif answer in (None, "q"):
                    return
                continue
            *_, last = playthrough.offer()
            assert last.choice is not None
            if not self._answer(playthrough, last.choice):
                return

    def _answer(self, playthrough: Playthrough, choice: Choice) -> bool:
        """Ask about one choice until it is answered; False when the reader leaves."""
        for candidate in choice.candidates:
            text = candidate.written.text.strip() or "(nothing more)"
            end = " The end." if candidate.written.finish_reason == "eos" else ""
            self.say(f"{candidate.position + 1}. {text}{end}", "")
        began = time.monotonic()

        def waited() -> int:
            return round((time.monotonic() - began) * 1000)

        while True:
            answer = self.ask(f"Choice {choice.step + 1}")
            if answer in ("1", "2", "3"):
                candidate = choice.candidates[int(answer) - 1]
                playthrough.choose(choice, candidate, waited())
                self.say(f"Kept: {candidate.written.text.strip()}", "")
                return True
            if answer == "r":
                playthrough.reroll(choice, waited())
                self.say("Kept as none good.", "")
                return True
            if answer == "t":
                playthrough.tie(choice, waited())
                self.say("Kept as a tie.", "")
                return True
            if answer in ("e1", "e2", "e3"):
                draft = choice.candidates[int(answer[1]) - 1]
                if words := self.ask("In your words"):
                    playthrough.edit(choice, draft, words, waited())
                    self.say(f"Kept: {words}", "")
                    return True
            elif answer == "w":
                if words := self.ask("Your passage"):
                    playthrough.write(choice, words, waited())
                    self.say(f"Kept: {words}", "")
                    return True
            elif answer == "u":
                self._undo(playthrough)
                return True
            elif answer == "U":
                if playthrough.redo():
                    self.say("Forth again.", "", playthrough.path.text, "")
                    return True
                self.say("There is nothing to redo.")
            elif answer == "p":
                playthrough.reveal(choice.id)
                for candidate in choice.candidates:
                    self.say(f"{candidate.position + 1}. {candidate.written.settings.summary()}")
            elif answer in REASONS and playthrough.unexplained:
                playthrough.explain(playthrough.unexplained, answer)
                playthrough.unexplained = None
                self.say(f"Kept why: {answer}.")
            elif answer in (None, "q"):
                return False
            else:
                self.say(HELP)

    def judge(self, store: Store, annotator: str, number: int, rng: Random) -> None:
        """Ask again about choices that were offered before, in any order; no story moves.

        Candidates stand at the places that they had in play: the place that a judgement took is then in the database,
        and one for all who judge, so that agreement can be told from a liking for a place.
        """
        ids = [
            choice_id
            for (choice_id,) in store.query(
                "SELECT h.id FROM choice h JOIN story s ON s.id = h.story_id WHERE s.state <> 'deleted' ORDER BY h.id"
            )
        ]
        for choice_id in rng.sample(ids, min(number, len(ids))):
            choice = store.choice(choice_id)
            self.say(choice.prompt[-600:].lstrip(), "")
            for candidate in choice.candidates:
                self.say(f"{candidate.position + 1}. {candidate.written.text.strip() or '(nothing more)'}", "")
            began = time.monotonic()
            while (answer := self.ask("Which is best? r if none is good, t if all are alike")) is not None:
                kind: DecisionKind
                taken: str | None
                if answer in ("1", "2", "3"):
                    kind, taken = "chosen", choice.candidates[int(answer) - 1].id
                elif answer in ("r", "t"):
                    kind, taken = "none_good" if answer == "r" else "tie", None
                elif answer == "q":
                    return
                else:
                    continue
                waited = round((time.monotonic() - began) * 1000)
                store.decide(choice, Decision(kind, taken, waited, annotator, blind=True, review=True))
                break
            if answer is None:
                return
        self.say("That was the last one.")

    def _undo(self, playthrough: Playthrough) -> None:
        if playthrough.undo():
            self.say("Back to the choice before.", "", playthrough.path.text, "")
        else:
            self.say("This is where the story begins.")

    def _number(self, question: str, highest: int) -> str | None:
        while answer := self.ask(question):
            if answer.isdecimal() and 1 <= int(answer) <= highest:
                return answer
            self.say(f"Type a number from 1 to {highest}, or nothing.")
        return None
