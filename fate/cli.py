"""The command line. Every heavy import stands inside the command that needs it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fate import __version__
from fate.core.errors import FateError

if TYPE_CHECKING:
    from fate.config import Config
    from fate.store import Store

app = typer.Typer(
    name="fate",
    help="A language model offers three continuations of a story; you choose, and every choice becomes data.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Model = Annotated[str | None, typer.Option("--model", help="Model folder or Hugging Face hub id.")]
Database = Annotated[str | None, typer.Option("--db", help="Database file or sqlite:/// URL.")]
Lines = Annotated[
    bool, typer.Option("--plain", help="Numbered lines and typed answers: for screen readers, pipes and scripts.")
]
Pickle = Annotated[
    bool, typer.Option("--allow-pickle", help="Read weights that are not safetensors; they can run code.")
]


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"fate {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command; anything the reader can mend is one sentence and exit status 1."""
    try:
        app()
    except FateError as error:
        print(f"fate: {error}", file=sys.stderr)
        sys.exit(1)


@app.callback(invoke_without_command=True)
def library(
    context: typer.Context,
    model: Model = None,
    db: Database = None,
    allow_pickle: Pickle = False,
    plain: Lines = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Without a command: open the library of stories."""
    context.obj = {"model": model, "db": db, "allow_pickle": allow_pickle or None}
    if context.invoked_subcommand is None:
        (_run_plain if plain else _run)(_config(context))
    elif plain:
        raise FateError("--plain stands after the command that it is for, as in `fate play --plain`.")


@app.command()
def play(
    context: typer.Context,
    opening: Annotated[str | None, typer.Argument(help="How the story begins; - reads it from standard input.")] = None,
    model: Model = None,
    db: Database = None,
    allow_pickle: Pickle = False,
    plain: Lines = False,
) -> None:
    """Begin a story."""
    config = _config(context, model=model, db=db, allow_pickle=allow_pickle or None)
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
    (_run_plain if plain else _run)(config, begin=True, opening=opening)


@app.command()
def export(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="New folder for the dataset.")],
    db: Database = None,
) -> None:
    """Write the dataset that `datasets.load_dataset(FOLDER, "pairs")` reads."""
    from fate.dataset import export as write
    from fate.store import Store

    store = Store(_existing(_config(context, db=db).db))
    counts = write(store, folder)
    store.close()
    print(f"{folder}: {counts['choices']} choices, {counts['pairs']} pairs")


@app.command()
def replay(
    context: typer.Context,
    stories: Annotated[list[str] | None, typer.Argument(metavar="[STORY]...", help="Ids, or how they begin.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every story of the database.")] = False,
    model: Model = None,
    db: Database = None,
    allow_pickle: Pickle = False,
) -> None:
    """Write stored candidates again and compare them, token for token; by default those of the last story.

    Exit status 1 if one came out different although nothing else had changed.
    """
    config = _config(context, model=model, db=db, allow_pickle=allow_pickle or None)
    from fate.store import Store

    store = Store(_existing(config.db))
    wanted = _stories(store, stories or [], every)
    from fate.engine import load
    from fate.replay import replay as write_again

    engine = load(config.model, context=sys.maxsize, pickle=config.allow_pickle)  # stored prompts fitted the model
    same = parted = broken = others = 0
    for story_id in wanted:
        for choice in store.choices(story_id):
            if choice.model.weights_sha256 != engine.info.weights_sha256:
                others += len(choice.candidates)
                continue
            for result in write_again(engine, choice):
                same += result.identical
                parted += not result.identical
                broken += not result.identical and result.same_environment
                if not result.identical:
                    print(
                        f"{story_id[:8]} step {choice.step} candidate {result.candidate.position + 1}: parted after "
                        f"{result.matched} of {len(result.candidate.written.output_ids)} tokens, log-probabilities "
                        f"until there within {result.difference:.1e}"
                        f"{'' if result.same_environment else ' (written in another environment)'}"
                    )
    store.close()
    print(f"{same} candidates identical, {parted} parted, {others} written by another model")
    if broken:
        raise typer.Exit(1)


def _stories(store: Store, names: list[str], every: bool) -> list[str]:
    """The ids of the stories that are meant: all, those that begin like a name, or the one played last."""
    ids = [story.id for story in store.stories()]
    if every or not names:
        return ids if every else ids[:1]
    meant = [[story_id for story_id in ids if story_id.startswith(name)] for name in names]
    for name, found in zip(names, meant, strict=True):
        if len(found) != 1:
            problem = "no story" if not found else "more than one story"
            raise FateError(f"There is {problem} whose id begins with {name!r}; fate export lists the ids.")
    return [found[0] for found in meant]


def _config(context: typer.Context, **flags: str | bool | None) -> Config:
    """The settings in force; a flag counts before the command's name as well as after it."""
    from fate.config import read_config

    return read_config(**{**context.obj, **{name: value for name, value in flags.items() if value is not None}})


def _run(config: Config, *, begin: bool = False, opening: str | None = None) -> None:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise FateError("The game needs a terminal for its keys and its screen; start it from one.")
    from fate.store import Store
    from fate.tui import FateApp

    store = Store(config.db)
    game = FateApp(config, store, begin=begin, opening=opening)
    game.run()
    store.close()
    if game.failure:
        raise FateError(game.failure)
    sys.exit(game.return_code)


def _run_plain(config: Config, *, begin: bool = False, opening: str | None = None) -> None:
    from fate.openings import openings
    from fate.plain import Plain
    from fate.policy import UniformPolicy
    from fate.store import Store

    store, lines = Store(config.db), Plain()
    story_id = lines.choose_story(store.stories()) if not begin and store.stories() else None
    if story_id is None:
        opening = opening or lines.choose_opening(openings())
        if opening is None:
            return
        story_id = store.new_story(opening)
    from fate.engine import load
    from fate.playthrough import Playthrough

    engine = load(config.model, context=config.context, pickle=config.allow_pickle)
    policy = UniformPolicy(config.ranges.settings_ranges())
    lines.play(Playthrough(store, engine, policy, story_id, annotator=config.annotator))
    store.close()


def _existing(db: str) -> str:
    from fate.store.opening import database_path

    if not database_path(db).exists():
        raise FateError(f"There is no database {database_path(db)} yet; play a story first, or name one with --db.")
    return db


def _keyboard_from_terminal() -> None:
    """Standard input has been read to its end; keys come from the terminal itself."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR)
    except OSError as error:
        raise FateError("The game needs a terminal for its keys and its screen; start it from one.") from error
    os.dup2(terminal, 0)
    sys.stdin = os.fdopen(0)
