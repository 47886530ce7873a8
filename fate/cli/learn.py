"""A model that learns from the choices of the database."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from fate.cli.options import Database, Device, Model, Pickle, existing, settings
from fate.cli.progress import progress
from fate.core.errors import FateError


def learn(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="New folder for the model that has learnt.")],
    passes: Annotated[int, typer.Option(min=1, help="How often each decision is learnt from.")] = 2,
    annotator: Annotated[list[str] | None, typer.Option(help="Only their decisions; can be repeated.")] = None,
    model: Model = None,
    db: Database = None,
    allow_pickle: Pickle = False,
    device: Device = None,
) -> None:
    """Let a model learn to write what was chosen, and not what was passed over; `fate --model FOLDER` plays it.

    A fifth of the stories is left out and says whether anything was learnt; exit status 1 if not, and no folder then.
    """
    if context.obj["precision"]:
        raise FateError("A model learns in float32, or in bfloat16 where there is less room; leave --precision out.")
    config = settings(context, model=model, db=db, allow_pickle=allow_pickle or None, device=device)
    from fate.store import Store

    store = Store(existing(config.db), writes=False)
    store.check_names(annotator or ())
    try:
        from fate.learn.tuning import Tuning
    except ModuleNotFoundError as error:
        raise FateError(f"To learn takes {error.name}, which is not installed: pip install 'fate[train]'.") from error
    from fate.engine import load
    from fate.learn.examples import examples
    from fate.learn.measuring import split
    from fate.paths import new_folder

    with new_folder(folder) as part:
        train, held_out = split(examples(store, load(config.model, **config.loading()), annotator or ()))
        store.close()
        print(f"{len(train):,} decisions to learn from, {len(held_out):,} of other stories to measure it by")
        reads = (passes + 1) * (len(train) + len(held_out))
        with progress("learning", reads) as advance:
            tuning = Tuning(
                config.model, train, held_out, device=config.device, pickle=config.allow_pickle, progress=advance
            )
            for number, measured in enumerate(tuning.passes(passes), 1):
                print(
                    f"pass {number}: what was taken is found in {measured}; loss {measured.loss:.3f}",
                    flush=True,
                )
        tuning.save(part)
    print(f"{folder}: written; play with it by `fate --model {shlex.quote(str(folder))}`")
