"""Which models there are to write with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fate.engine.catalog import Listed

_SHOWN = {"float32": "float32", "16 bit": "float16", "int8": "int8"}


def models(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, sizes in bytes, for scripts.")] = False,
) -> None:
    """List models: the one that comes with fate, those in the local cache of the hub, and some to download."""
    from fate.engine import catalog, memory

    here = list(catalog.in_cache())
    shelves = {
        "embedded": [catalog.embedded()],
        "cache": here,
        "hub": list(catalog.on_hub({model.name for model in here})),
    }
    free = memory.free()
    if as_json:
        import json

        listed = [_row(model, shelf) for shelf, models in shelves.items() for model in models]
        print(json.dumps({"free_memory": free, "context": catalog.CONTEXT, "models": listed}, indent=2))
        return
    headings = {
        "embedded": "Comes with fate",
        "cache": "In the local cache of the hub",
        "hub": "On the hub; `fate --model ID` downloads it",
    }
    for shelf, heading in headings.items():
        if shelves[shelf]:
            print(heading)
            print(*(line for model in shelves[shelf] for line in _lines(model, free)), "", sep="\n")
    print(f"Memory is for a context of {catalog.CONTEXT:,} tokens; {memory.gigabytes(free)} are free.")


def _row(model: Listed, shelf: str) -> dict[str, Any]:
    from fate.engine import memory

    return {
        "name": model.name,
        "where": shelf,
        "about": model.about,
        "license": model.license,
        "parameters": model.size.parameters,
        "on_disk": model.here,
        "needs_allow_pickle": model.pickle,
        "memory": {precision: model.needs(precision) for precision in memory.precisions(model.size)},
    }


def _lines(model: Listed, free: int) -> list[str]:
    """A model in three lines: its name and size, what it is, and the memory it takes."""
    from fate.engine.memory import gigabytes, precisions

    millions = model.size.parameters / 1e6
    parameters = f"{millions / 1000:.1f} B" if millions >= 999.5 else f"{millions:.0f} M"
    on_disk = "" if model.here is None else f"  {model.here / 1e6:,.0f} MB here"
    about = [model.license or "no licence stated", model.about, "needs --allow-pickle" if model.pickle else ""]
    held = precisions(model.size)
    needs = {name: model.needs(precision) for name, precision in _SHOWN.items() if precision in held}
    memory = (f"{name} {gigabytes(size)}{'' if size <= free else ' (too much)'}" for name, size in needs.items())
    return [
        f"  {model.name:<46}{parameters:>6}{on_disk}",
        f"    {'; '.join(filter(None, about))}",
        f"    memory: {', '.join(memory)}",
    ]
