"""The game: on a screen, or as lines."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from fate.cli.options import Database, Device, Lines, Model, Pickle, Precision, existing, settings
from fate.core.errors import FateError

if TYPE_CHECKING:
    from fate.config import Config
    from fate.store import Store


def play(
    context: typer.Context,
    opening: Annotated[str | None, typer.Argument(help="How the story begins; - reads it from standard input.")] = None,
    model: Model = None,
    db: Database = None,
    allow_pickle: Pickle = False,
    precision: Precision = None,
    device: Device = None,
    plain: Lines = False,
) -> None:
    """Begin a story."""
    config = settings(
        context, model=model, db=db, allow_pickle=allow_pickle or None, precision=precision, device=device
    )
    if opening == "-":
        if sys.stdin.isatty():
            raise FateError("`fate play -` reads the opening from standard input; pipe it in.")
        opening = sys.stdin.buffer.read().decode(errors="replace")
        if not plain:
            _keyboard_from_terminal()
    elif opening is not None:
        opening = os.fsencode(opening).decode(errors="replace")  # an argument can be any bytes
    if opening is not None and not opening.strip():
        raise FateError("The opening is empty; give the first words of a story.")
    (run_plain if plain else run)(config, begin=True, opening=opening)


def judge(
    context: typer.Context,
    number: Annotated[int, typer.Option("-n", min=1, help="How many choices.")] = 20,
    annotator: Annotated[str | None, typer.Option(help="Whose judgement it is.")] = None,
    db: Database = None,
) -> None:
    """Judge old choices again, blind and in any order; the more who do, the more `fate stats` can say of agreement."""
    config = settings(context, db=db, annotator=annotator)
    from random import Random

    from fate.plain import Plain
    from fate.store import Store

    store = Store(existing(config.db))
    Plain().judge(store, config.annotator, number, Random())
    store.close()


def run(config: Config, *, begin: bool = False, opening: str | None = None) -> None:
    in_a_browser = "TEXTUAL_DRIVER" in os.environ  # whose keys and screen are not those of a terminal
    if not (in_a_browser or all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))):
        raise FateError("The game needs a terminal for its keys, its screen and its errors; start it from one.")
    if hasattr(signal, "SIGHUP"):  # whoever started fate may have it ignored; without its terminal it has no use
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    from fate.tui.first_frame import first_frame

    with first_frame() as hand_over:
        from fate.tui import FateApp

        game = FateApp(config, begin=begin, opening=opening, takes_over=hand_over)
        game.run()
    if game.opened is not None:
        game.opened.close()
        _back_up(game.opened)
    if game.failure:
        raise FateError(game.failure)
    if game.is_loading:  # in code of PyTorch, which would abort the program where Python ends below it
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(game.return_code or 0)
    sys.exit(game.return_code)


def run_plain(config: Config, *, begin: bool = False, opening: str | None = None) -> None:
    from fate.openings import openings
    from fate.plain import Plain
    from fate.policy import UniformPolicy
    from fate.store import Store

    sys.stdin.reconfigure(errors="replace")  # type: ignore[union-attr]  # what is typed can be any bytes
    store, lines = Store(config.db), Plain()
    story_id = lines.choose_story(store.stories()) if not begin and store.stories() else None
    if story_id is None:
        opening = opening or lines.choose_opening(openings())
        if opening is None:
            return
        story_id = store.new_story(opening)
    from fate.engine import load
    from fate.playthrough import Playthrough

    engine = load(config.model, **config.loading(), progress=lines.tell_loading)
    policy = UniformPolicy(config.ranges.settings_ranges(engine.sampler))
    lines.play(Playthrough(store, engine, policy, story_id, annotator=config.annotator))
    store.close()
    _back_up(store)


def _back_up(store: Store) -> None:
    """A copy of the database a day, once the game is over and nobody waits for it."""
    from fate.store.backup import back_up_daily
    from fate.store.opening import readable_errors

    with readable_errors(store.file):
        back_up_daily(store.file)


def _keyboard_from_terminal() -> None:
    """Standard input has been read to its end; keys come from the terminal itself."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR)
    except OSError as error:
        raise FateError("The game needs a terminal for its keys and its screen; start it from one.") from error
    os.dup2(terminal, 0)
    sys.stdin = os.fdopen(0)
