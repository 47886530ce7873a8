"""Which of several texts a candidate becomes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from fate.core.choice import Continuation
from fate.core.speech import answers_oneself, last_said
from fate.core.story import quotations_match
from fate.core.text import words

RULES = 4  # counted up where another text would be picked of the same; stands in the model's ``versions``

# Both were chosen by what readers prefer of the embedded storyteller, see its EXPERIMENTS.md.
_ALIKE = 0.3  # the share of words in common above which two texts are alike to a reader
_LIKELY = -0.6  # nats a token, from which on a text is likely enough
_CLUMSY = (
    re.compile(r"([^\W\d_]{1,4}?)\1{4}"),  # "Brrrrrr": up to four letters, five times on end
    re.compile(r"\b(\w{3,}) \1\b"),  # "she simply simply smiled"
    re.compile(r'\bthe (\w+(?: \w+)?)\b[^.!?"“”]*\bthe \1\b', re.IGNORECASE),  # "the cat asked the cat"
)


class Picker:
    """Picks after a story.

    A text that a model finds likelier makes sense more often. But where many make sense, as after an opening that the
    model knows well, the likeliest says the least: so all that are likely enough are equal there, and a longer one,
    which tells more, is better.
    """

    def __init__(self, story: str) -> None:
        self._told = set(_sequences(story))
        self._in_word = _of_word(story[-1:])
        self._paragraph = story.rpartition("\n")[2]
        self._said = last_said(story)

    def pick(
        self,
        texts: Sequence[Continuation],
        said: Sequence[str],
        liking: Callable[[Continuation], float] | None = None,
    ) -> Continuation:
        """The best of some complete texts, beside what other candidates of the choice say.

        Where ``liking`` tells how much a reader will like a text, that stands for its merit.
        """
        others = [set(words(text)) for text in said]

        def worth(row: Continuation) -> tuple[bool, bool, bool, bool, bool, float, int, tuple[float, float]]:
            """What a text is ranked by, the first first.

            That it says something; that it came to an end; that it leaves the story's last word as it is, which who
            types an opening without a full stop has finished; that its quotation marks match; that who spoke last
            does not answer; how little it says what another candidate says: the share of words that both have, of
            those of either, where that is above ``_ALIKE``; how few sequences of three words it has that were said
            before, in the story or in itself, which would soon go round in circles without that: nothing is as likely
            as what was said before, and how seldom it is clumsy in other ways; and its ``merit``.
            """
            own = set(words(row.text))
            apart = not (self._in_word and _of_word(row.text[:1]))
            match = all(map(quotations_match, (self._paragraph + row.text).split("\n")))
            another = self._said is None or not answers_oneself(self._said, row.text)
            alike = max((len(own & those) / max(1, len(own | those)) for those in others), default=0.0)
            sequences = _sequences(row.text)
            again = len(sequences) - len(set(sequences) - self._told)
            again += sum(len(clumsy.findall(row.text)) for clumsy in _CLUMSY)
            good = (liking(row), 0.0) if liking else merit(row.logprobs[: row.kept])
            whole = row.finish_reason != "length"
            return bool(own), whole, apart, match, another, -max(_ALIKE, alike), -again, good

        return max(texts, key=worth)


def merit(logprobs: Sequence[float]) -> tuple[float, float]:
    """How likely a text is, by the mean log-probability of its tokens by the raw model, capped; and how long."""
    return min(_LIKELY, sum(logprobs) / max(1, len(logprobs))), len(logprobs)


def _of_word(character: str) -> bool:
    """Whether it stands in words that spaces part: a digit, or a letter of a script that has capitals."""
    return character.isdecimal() or character.lower() != character.upper()


def _sequences(text: str) -> list[tuple[str, ...]]:
    """The sequences of three words in a text, each as often as it stands there."""
    own = words(text)
    return [tuple(own[i : i + 3]) for i in range(len(own) - 2)]
