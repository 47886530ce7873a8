"""Candidates written in threads, so that the screen stays at the reader's service."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from textual.worker import get_current_worker

from fate.core.choice import Choice
from fate.core.errors import FateError
from fate.playthrough import Playthrough
from fate.tui.messages import Offered, OfferFailed
from fate.tui.turn import Turn

if TYPE_CHECKING:
    from fate.tui.game import Game


class Ghostwriter:
    """Writes what a screen asks for and, while that is read, what may follow it. Its threads end with the screen.

    Args:
        screen: is sent ``Offered`` and ``OfferFailed``. Its app's ``engine_in_use`` keeps the two apart.
    """

    def __init__(self, screen: Game) -> None:
        self._screen = screen

    def write(self, playthrough: Playthrough, turn: Turn) -> None:
        """Write the candidates of a turn; those of the turn before are given up."""
        self._screen.workers.cancel_group(self._screen, "offer")
        self._screen.run_worker(partial(self._write, playthrough, turn), thread=True, group="offer")

    def write_ahead(
        self,
        playthrough: Playthrough,
        choice: Choice,
        is_read: Callable[[], bool],
        pointed_at: Callable[[], int | None],
    ) -> None:
        """Write what may follow each candidate of a choice, while it ``is_read``; see ``Playthrough.look_ahead``.

        Both are asked from a thread.
        """

        def work() -> None:
            worker = get_current_worker()

            def stop() -> bool:
                return worker.is_cancelled or not is_read()

            try:
                with self._screen.app.engine_in_use:
                    if not stop():
                        playthrough.look_ahead(choice, stop, pointed_at)
            except Exception as error:  # nobody has asked for it yet; the next offer says it if it still is so
                self._screen.log.warning(f"nothing could be written ahead: {error!r}")

        self._screen.run_worker(work, thread=True, group="ahead", exclusive=True)

    def _write(self, playthrough: Playthrough, turn: Turn) -> None:
        worker, tell = get_current_worker(), self._screen.post_message
        try:
            with self._screen.app.engine_in_use:  # the turn before this one may still be noticing that it is over
                if not worker.is_cancelled:
                    for offer in turn.offers(playthrough, lambda: worker.is_cancelled):
                        tell(Offered(turn.number, offer))
        except FateError as error:
            tell(OfferFailed(turn.number, str(error)))
        except Exception as error:  # a model can fail in any way; the story stands and can be gone on with
            tell(OfferFailed(turn.number, f"No candidates could be written: {error!r}."))
