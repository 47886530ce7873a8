"""The game in a browser."""

from __future__ import annotations

from typing import Annotated

import typer

from fate.cli.options import Database, Device, Model, Pickle, Precision, settings
from fate.core.errors import FateError


def serve(
    context: typer.Context,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any that is free.")] = 8000,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    public: Annotated[bool, typer.Option("--public", help="Let others in who can reach that address.")] = False,
    token: Annotated[
        str | None,
        typer.Option(envvar="FATE_TOKEN", help="Who comes in must know it. [default: with --public, a new one]"),
    ] = None,
    model: Model = None,
    db: Database = None,
    allow_pickle: Pickle = False,
    precision: Precision = None,
    device: Device = None,
) -> None:
    """Play in a browser; every tab is a game of its own on the same database."""
    flags = {
        "model": model,
        "db": db,
        "allow_pickle": allow_pickle or None,
        "precision": precision,
        "device": device,
    }
    config = settings(context, **flags)
    try:
        from fate.web.server import GameServer, app_command
    except ModuleNotFoundError as error:
        if error.name not in ("aiohttp", "textual_serve"):
            raise
        raise FateError('A browser needs one more part: pip install "fate[web]".') from error
    from fate.store import Store
    from fate.web.address import listen, token_for

    Store(config.db).close()  # what is wrong with it is said here rather than in every tab
    token = token_for(token, public=public)
    given = {**context.obj, **{name: value for name, value in flags.items() if value is not None}}
    pickle = ["--allow-pickle"] if given.pop("allow_pickle", None) else []
    command = app_command(*pickle, *(f"--{name}={value}" for name, value in given.items() if value is not None))
    GameServer(command, listen(host, port, public=public), host=host, token=token).serve()
