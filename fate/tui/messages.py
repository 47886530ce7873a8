"""What background threads tell the screens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.message import Message

from fate.config import Config
from fate.core.errors import FateError

if TYPE_CHECKING:
    from fate.core.choice import Continuation
    from fate.engine import Engine
    from fate.playthrough import Offer

REPAINT = 0.05  # seconds between two messages about streaming text


class EngineProgress(Message):
    """What the loading of the model is doing, in a few words."""

    def __init__(self, doing: str) -> None:
        super().__init__()
        self.doing = doing


class EngineReady(Message):
    """The model can write; ``config`` are the settings that it was loaded for, if they were not yet in force."""

    def __init__(self, engine: Engine, config: Config | None = None) -> None:
        super().__init__()
        self.engine = engine
        self.config = config


class EngineFailed(Message):
    """The model cannot be used."""

    def __init__(self, error: FateError, config: Config | None = None) -> None:
        super().__init__()
        self.error = error
        self.config = config


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
