"""The root command, and all the others by name."""

from __future__ import annotations

import gc
import sys
from typing import Annotated

import typer

from fate import __version__
from fate.cli import data, game, models
from fate.cli.learn import learn
from fate.cli.options import Database, Device, Lines, Model, Pickle, Precision, settings
from fate.cli.serve import serve
from fate.core.errors import FateError
from fate.core.text import harmless

app = typer.Typer(
    name="fate",
    help="A language model offers three continuations of a story; you choose, and every choice becomes data.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"fate {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command; anything the reader can mend is one sentence and exit status 1."""
    gc.set_threshold(50_000)  # nothing that is imported is garbage; looking for it would hold up the first frame
    try:
        app()
    except FateError as error:
        print(f"fate: {harmless(str(error))}", file=sys.stderr)
        sys.exit(1)


@app.callback(invoke_without_command=True)
def library(
    context: typer.Context,
    model: Model = None,
    db: Database = None,
    allow_pickle: Pickle = False,
    precision: Precision = None,
    device: Device = None,
    plain: Lines = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Without a command: open the library of stories."""
    context.obj = {
        "model": model,
        "db": db,
        "allow_pickle": allow_pickle or None,
        "precision": precision,
        "device": device,
    }
    if context.invoked_subcommand is None:
        (game.run_plain if plain else game.run)(settings(context))
    elif plain:
        raise FateError("--plain stands after the command that it is for, as in `fate play --plain`.")


_COMMANDS = (
    *(game.play, game.auto, serve, game.judge, models.models),
    *(data.export, data.stats, learn, data.replay, data.check, data.restore),
)
for command in _COMMANDS:
    app.command()(command)
app.command("import")(data.import_)
