"""What background threads tell the screens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.message import Message

from fate.core.choice import Continuation
from fate.core.errors import FateError
from fate.playthrough import Offer

if TYPE_CHECKING:
    from fate.engine import Engine


REPAINT = 0.05  # seconds between two messages about streaming text


class EngineProgress(Message):
    """What the loading of the model is doing, in a few words."""

    def __init__(self, doing: str) -> None:
        super().__init__()
        self.doing = doing


class EngineReady(Message):
    """The model can write."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.engine = engine


class EngineFailed(Message):
    """The model cannot be used."""

    def __init__(self, error: FateError) -> None:
        super().__init__()
        self.error = error


class Offered(Message, bubble=False):
    """The candidates of one choice, as far as they are written: all three whole texts."""

    def __init__(self, round_: int, offer: Offer) -> None:
        super().__init__()
        self.round = round_
        self.offer = offer


class Written(Message, bubble=False):
    """A candidate under other settings, as far as it is written."""

    def __init__(self, round_: int, row: Continuation) -> None:
        super().__init__()
        self.round = round_
        self.row = row


class OfferFailed(Message, bubble=False):
    """Candidates could not be written or kept."""

    def __init__(self, round_: int, sentence: str) -> None:
        super().__init__()
        self.round = round_
        self.sentence = sentence
