"""The command line. Every heavy import stands inside the command that needs it."""

from fate.cli.main import app, main

__all__ = ["app", "main"]
