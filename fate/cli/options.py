"""Options that several commands share, and how they become settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fate.core.errors import FateError

if TYPE_CHECKING:
    from fate.config import Config

Model = Annotated[str | None, typer.Option("--model", help="Model folder or Hugging Face hub id.")]
Database = Annotated[str | None, typer.Option("--db", help="Database file or sqlite:/// URL.")]
Lines = Annotated[
    bool, typer.Option("--plain", help="Numbered lines and typed answers: for screen readers, pipes and scripts.")
]
Pickle = Annotated[
    bool, typer.Option("--allow-pickle", help="Read weights that are not safetensors; they can run code.")
]

Precision = Annotated[str | None, typer.Option("--precision", help="auto, float32, float16, bfloat16 or int8.")]
Device = Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda or mps.")]


def settings(context: typer.Context, **flags: str | bool | None) -> Config:
    """The settings in force; a flag counts before the command's name as well as after it."""
    from fate.config import read_config

    return read_config(**{**context.obj, **{name: value for name, value in flags.items() if value is not None}})


def existing(db: str) -> str:
    """A database that is there already. Raises FateError."""
    from fate.store.opening import database_path

    try:
        there = database_path(db).exists()
    except OSError as error:
        raise FateError(f"{db} cannot be looked at: {error.strerror}; name another file with --db.") from error
    if not there:
        raise FateError(f"There is no database {database_path(db)} yet; play a story first, or name one with --db.")
    return db
