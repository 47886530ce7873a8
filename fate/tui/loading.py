"""A model, loaded while the screens live on."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable

from textual.message import Message

from fate.config import Config
from fate.core.errors import FateError
from fate.tui.messages import EngineFailed, EngineProgress, EngineReady


def load_in_background(config: Config, post: Callable[[Message], object]) -> None:
    """Load the model of ``config`` in a thread, which posts what it is doing and what comes of it."""
    # A daemon, because an import cannot be interrupted and leaving must not wait for it.
    threading.Thread(target=_load, args=(config, post), daemon=True).start()


def _load(config: Config, post: Callable[[Message], object]) -> None:
    try:
        post(EngineProgress("waking the storyteller"))
        from fate.engine import load

        engine = load(
            config.model,
            **config.loading(),
            progress=lambda doing: post(EngineProgress(doing)),
        )
    except FateError as error:
        post(EngineFailed(error, config))
    except Exception as error:  # whatever it was, the reader must not wait for ever
        post(EngineFailed(FateError(f"The model could not be loaded: {error!r}."), config))
    else:
        gc.freeze()  # the modules of PyTorch stay: looking through them for garbage would hold up a key for 0.2 s
        post(EngineReady(engine, config))
