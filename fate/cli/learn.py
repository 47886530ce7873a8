"""A model that learns from the choices of the database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fate.cli.data import progress
from fate.cli.options import Database, Device, Model, Pickle, existing, settings
from fate.core.errors import FateError


def learn(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="New folder for the model that has learnt.")],
    passes: Annotated[int, typer.Option(min=1, help="How often each choice is learnt from, at most.")] = 3,
    annotator: Annotated[list[str] | None, typer.Option(help="Only their decisions; can be repeated.")] = None,
    model: Model = None,
    db: Database = None,
    allow_pickle: Pickle = False,
    device: Device = None,
) -> None:
    """Let a model learn to write what was chosen, and not what was passed over; `fate --model FOLDER` plays it.

    A fifth of the stories is left out and says whether anything was learnt; exit status 1 if not, and no folder then.
    """
    config = settings(context, model=model, db=db, allow_pickle=allow_pickle or None, device=device)
    from fate.store import Store

    store = Store(existing(config.db), writes=False)
    try:
        from fate.learn import Tuning, examples, held_out
    except ModuleNotFoundError as error:
        raise FateError(f"To learn takes {error.name}, which is not installed: pip install 'fate[train]'.") from error
    from fate.engine import load

    learning, measuring = held_out(examples(store, load(config.model, **config.loading()), annotator or ()))
    store.close()
    print(f"{len(learning):,} choices to learn from, {len(measuring):,} of other stories to measure it by")
    with progress("learning", (passes + 1) * (len(learning) + len(measuring))) as advance:
        tuning = Tuning(
            config.model,
            folder,
            learning,
            measuring,
            device=config.device,
            pickle=config.allow_pickle,
            progress=advance,
        )
        for number, measured in enumerate(tuning.passes(passes), 1):
            print(
                f"pass {number}: what was taken is found in {measured.found} of {measured.examples} "
                f"({measured.chance:.0f} by chance), loss {measured.loss:.3f} ({measured.even:.3f})",
                flush=True,
            )
    tuning.save()
    print(f"{folder}: written; play with it by `fate --model {folder}`")
