"""The game: on a screen, or as lines."""

from __future__ import annotations

import os
import signal
import sys
from io import TextIOWrapper
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from fate.cli.options import Database, Device, Lines, Model, Pickle, Precision, existing, settings
from fate.core.errors import FateError

if TYPE_CHECKING:
    from fate.config import Config
    from fate.store import Store


Opening = Annotated[str | None, typer.Argument(help="How the story begins; - reads it from standard input.")]


def play(
    context: typer.Context,
    opening: Opening = None,
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
    words = _words(opening, "play")
    if opening == "-" and not plain:
        _keyboard_from_terminal()
    (run_plain if plain else run)(config, begin=True, opening=words)


def auto(
    context: typer.Context,
    opening: Opening = None,
    number: Annotated[int, typer.Option("-n", min=1, help="How many passages; fewer where the story ends.")] = 12,
    policy: Annotated[
        str, typer.Option(help="learned, by what readers of the database preferred so far, or uniform.")
    ] = "learned",
    model: Model = None,
    db: Database = None,
    allow_pickle: Pickle = False,
    precision: Precision = None,
    device: Device = None,
) -> None:
    """Let fate write a story by itself; without an opening, after one that the model knows well.

    The story goes to standard output as it is written, and into the database, where you can read it and go on with it.
    Nobody chose its passages, so no preference follows from them. Of three candidates it takes what readers of the
    database will like, as soon as that is learnt; `fate stats` says so.
    """
    config = settings(
        context,
        model=model,
        db=db,
        allow_pickle=allow_pickle or None,
        precision=precision,
        device=device,
        policy=policy,
    )
    words = _words(opening, "auto")
    from random import Random

    from fate.auto import write
    from fate.core.text import harmless
    from fate.engine import load
    from fate.learn.ranker import ranker_of
    from fate.openings import openings
    from fate.playthrough import Playthrough, policy_named
    from fate.store import Store

    store = Store(config.db)
    engine = load(config.model, **config.loading())
    drawn_by = policy_named(config.policy, config.ranges.settings_ranges(engine.sampler), store, engine)
    story_id = store.new_story(words or Random().choice(openings()).text)
    story = Playthrough(store, engine, drawn_by, story_id, annotator=config.annotator, shown=False)
    ranker = ranker_of(store)
    _any_letters(sys.stdout)
    print(harmless(story.path.text), end="", flush=True)
    try:
        for passage in write(story, number, ranker):
            print(harmless(passage), end="", flush=True)
    finally:
        print()
        store.close()
    _back_up(store)


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


def _words(opening: str | None, command: str) -> str | None:
    """The opening that was given, or that stands in standard input. Raises FateError where it is empty."""
    if opening == "-":
        if sys.stdin.isatty():
            raise FateError(f"`fate {command} -` reads the opening from standard input; pipe it in.")
        opening = sys.stdin.buffer.read().decode(errors="replace")
    elif opening is not None:
        opening = os.fsencode(opening).decode(errors="replace")  # an argument can be any bytes
    if opening is not None and not opening.strip():
        raise FateError("The opening is empty; give the first words of a story.")
    return opening


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
    from fate.store import Store

    _any_letters(sys.stdin, sys.stdout)
    store, lines = Store(config.db), Plain()
    story_id = lines.choose_story(store.stories()) if not begin and store.stories() else None
    if story_id is None:
        opening = opening or lines.choose_opening(openings())
        if opening is None:
            return
        story_id = store.new_story(opening)
    from fate.engine import load
    from fate.playthrough import Playthrough, policy_named

    engine = load(config.model, **config.loading(), progress=lines.tell_loading)
    policy = policy_named(config.policy, config.ranges.settings_ranges(engine.sampler), store, engine)
    lines.play(Playthrough(store, engine, policy, story_id, annotator=config.annotator))
    store.close()
    _back_up(store)


def _any_letters(*streams: TextIO) -> None:
    """What is typed can be any bytes, and not every terminal knows all letters."""
    for stream in streams:
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


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
