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

app = typer.Typer(
    name="fate",
    help="A language model offers three continuations of a story; you choose, and every choice becomes data.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Model = Annotated[str | None, typer.Option("--model", help="Model folder or Hugging Face hub id.")]
Database = Annotated[str | None, typer.Option("--db", help="Database file or sqlite:/// URL.")]
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
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Without a command: open the library of stories."""
    if context.invoked_subcommand is None:
        _run(_config(model, db, allow_pickle))


@app.command()
def play(
    opening: Annotated[str | None, typer.Argument(help="How the story begins; - reads it from standard input.")] = None,
    model: Model = None,
    db: Database = None,
    allow_pickle: Pickle = False,
) -> None:
    """Begin a story."""
    if opening == "-":
        opening = sys.stdin.read()
        _keyboard_from_terminal()
    if opening is not None and not opening.strip():
        raise FateError("The opening is empty; give the first words of a story.")
    _run(_config(model, db, allow_pickle), begin=True, opening=opening)


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="New folder for the dataset.")],
    db: Database = None,
) -> None:
    """Write the dataset that `datasets.load_dataset(FOLDER, "pairs")` reads."""
    from fate.dataset import export as write
    from fate.store import Store

    counts = write(Store(_existing(_config(db=db).db)), folder)
    print(f"{folder}: {counts['choices']} choices, {counts['pairs']} pairs")


def _config(model: str | None = None, db: str | None = None, allow_pickle: bool = False) -> Config:
    from fate.config import read_config

    return read_config(model=model, db=db, allow_pickle=allow_pickle or None)


def _run(config: Config, *, begin: bool = False, opening: str | None = None) -> None:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise FateError("fate plays in a terminal, and standard input or output is none; start it from one.")
    from fate.store import Store
    from fate.tui import FateApp

    store = Store(config.db)
    game = FateApp(config, store, begin=begin, opening=opening)
    game.run()
    store.close()
    if game.failure:
        raise FateError(game.failure)


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
        raise FateError("fate plays in a terminal, and there is none; start it from one.") from error
    os.dup2(terminal, 0)
    sys.stdin = os.fdopen(0)
