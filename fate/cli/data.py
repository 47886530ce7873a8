"""What one does with the data: export, import, count, repeat, look after."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fate.cli.options import Database, Device, Model, Pickle, Precision, existing, settings
from fate.cli.progress import progress
from fate.core.errors import FateError
from fate.core.text import harmless, one_line

if TYPE_CHECKING:
    from fate.store import Store

Configs = Annotated[
    list[str] | None, typer.Option("--config", help="choices, pairs, unpaired or sft; can be repeated. [default: all]")
]


def export(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="New folder for the dataset.")],
    config: Configs = None,
    file_format: Annotated[str, typer.Option("--format", help="parquet, jsonl or csv.")] = "parquet",
    split: Annotated[
        float | None, typer.Option(help="Share of the stories that goes to train; the rest goes to test.")
    ] = None,
    since: Annotated[str | None, typer.Option(metavar="DATE", help="Leave out what was offered before.")] = None,
    annotator: Annotated[list[str] | None, typer.Option(help="Only their decisions; can be repeated.")] = None,
    window: Annotated[
        int | None, typer.Option(metavar="N", help="Keep about the last N tokens of each prompt (not in choices).")
    ] = None,
    redact: Annotated[bool, typer.Option("--redact", help="Replace personal data by placeholders.")] = False,
    licence: Annotated[str, typer.Option("--license", help="Licence that the card states.")] = "unknown",
    language: Annotated[str, typer.Option(help="Language that the card states.")] = "en",
    push: Annotated[str | None, typer.Option(metavar="OWNER/NAME", help="Upload to this dataset repository.")] = None,
    public: Annotated[bool, typer.Option("--public", help="Make a new repository public; by default private.")] = False,
    as_is: Annotated[bool, typer.Option("--as-is", help="Upload although personal data were found.")] = False,
    db: Database = None,
) -> None:
    """Write the dataset that `datasets.load_dataset(FOLDER, "pairs")` reads."""
    from fate.dataset import ExportOptions
    from fate.dataset import export as write
    from fate.store import Store

    options = ExportOptions(
        configs=config or ExportOptions().configs,
        format=file_format,
        split=split,
        since="" if since is None else _time(since),
        annotators=annotator or (),
        window=window,
        redact=redact,
        licence=licence,
        language=language,
    )
    store = Store(existing(settings(context, db=db).db), writes=False)
    ((choices,),) = store.query("SELECT count(*) FROM choice WHERE created_at >= ?", options.since)
    with progress("exporting", choices) as advance:
        exported = write(store, folder, options, advance)
    store.close()
    print(f"{folder}: {', '.join(f'{rows:,} {name}' for name, rows in exported.rows.items())}")
    for finding in exported.findings:
        print(finding)
    if push:
        if exported.personal and not as_is:
            raise FateError(
                f"{push} was not uploaded, because personal data were found; look at {folder}, "
                "then export to another folder with --redact or --as-is."
            )
        from fate.dataset.publish import publish

        print(publish(folder, push, private=not public))


def import_(
    context: typer.Context,
    sources: Annotated[
        list[Path], typer.Argument(metavar="FILE|DIR...", help="Databases of fate, or exported folders with choices.")
    ],
    db: Database = None,
) -> None:
    """Add the choices of others, or of another machine, to the database; importing twice adds nothing.

    Exit status 1 if something did not fit and was left out.
    """
    from fate.dataset.importing import import_from
    from fate.store import Store

    for source in sources:
        if not source.exists():
            raise FateError(f"There is no {source}; name a fate database or an exported folder.")
    store = Store(settings(context, db=db).db)
    problems = 0
    for source in sources:
        merged = import_from(store, source)
        added = ", ".join(f"{merged.added[table]:,} {table}s" for table in ("choice", "candidate", "decision"))
        print(f"{source}: {added} added, {merged.known['choice']:,} choices were here already")
        for problem in merged.problems:
            print(f"  {harmless(problem)}")
        problems += len(merged.problems)
    store.close()
    if problems:
        raise typer.Exit(1)


def stats(context: typer.Context, db: Database = None) -> None:
    """Count: choices, decisions, reading time, agreement, which settings win, and what is liked in a text."""
    from fate.dataset.stats import stats as count
    from fate.learn.ranker import ranker_of
    from fate.store import Store

    store = Store(existing(settings(context, db=db).db), writes=False)
    found, liked = count(store), ranker_of(store)
    store.close()
    stories = f"{found.stories:,} {'story' if found.stories == 1 else 'stories'}"
    print(f"{stories}, {found.choices:,} choices, {found.candidates:,} candidates")
    print(f"decisions: {_counted(found.decisions)}; by {_counted(found.annotators)}")
    if found.reading_seconds is not None:
        print(f"median time to choose: {found.reading_seconds:.1f} s")
    print(f"agreement of annotators with themselves: {found.agreement_within}")
    print(f"agreement between annotators: {found.agreement_between}")
    if not found.decisions.get("chosen"):
        return
    print("chosen, of those at a place on the screen:")
    for place, share in enumerate(found.positions, 1):
        print(f"  {place}: {share}")
    for name, thirds in found.wins.items():
        print(f"chosen, by {name}:")
        for low, high, share in thirds:
            print(f"  {low:.4g} to {high:.4g}: {share}")
    if liked is None:
        print("liked in a text: not enough data")
        return
    print("liked in a text, by how many times the odds to be chosen, with 95 % intervals:")
    for trait, times, lowest, highest in liked.odds():
        print(f"  {trait}: {times:.2f} ({lowest:.2f} to {highest:.2f})")
    print(f"  {liked}")


def replay(
    context: typer.Context,
    stories: Annotated[list[str] | None, typer.Argument(metavar="[STORY]...", help="Ids, or how they begin.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every story of the database.")] = False,
    model: Model = None,
    db: Database = None,
    allow_pickle: Pickle = False,
    precision: Precision = None,
    device: Device = None,
) -> None:
    """Write stored candidates again and compare them, token for token; by default those of the last story.

    Exit status 1 if one came out different although nothing else had changed.
    """
    config = settings(
        context, model=model, db=db, allow_pickle=allow_pickle or None, precision=precision, device=device
    )
    from fate.store import Store

    store = Store(existing(config.db), writes=False)
    wanted = _stories(store, stories or [], every)
    from fate.engine import load
    from fate.replay import replay as write_again

    engine = load(config.model, **config.loading() | {"context": sys.maxsize})  # stored prompts fitted the model
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
                print(f"{story_id[:8]} choice {choice.step + 1} candidate {result.candidate.position + 1}: {result}")
    store.close()
    print(f"{same} candidates identical, {parted} parted, {others} written by another model")
    if broken:
        raise typer.Exit(1)


def _stories(store: Store, names: list[str], every: bool) -> list[str]:
    """The ids of the stories that are meant: all, those that begin like a name, or the one played last."""
    ids = [story.id for story in store.stories()]
    if every and names:
        raise FateError("Name stories or say --all, not both.")
    if every or not names:
        return ids if every else ids[:1]
    meant = [[story_id for story_id in ids if story_id.startswith(name)] for name in names]
    for name, found in zip(names, meant, strict=True):
        if len(found) != 1:
            problem = "no story" if not found else "more than one story"
            raise FateError(f"There is {problem} whose id begins with {name!r}; the ids are {', '.join(ids)}.")
    return [found[0] for found in meant]


def check(context: typer.Context, model: Model = None, db: Database = None) -> None:
    """See whether the database is whole, and name each row that is not as it must be; exit status 1 then.

    Whether token ids spell their texts is seen where they are of the model's tokenizer.
    """
    config = settings(context, model=model, db=db)
    from fate.dataset.check import check as problems_of
    from fate.engine.hub import EngineError
    from fate.engine.loading import spellings
    from fate.store import Store

    store = Store(existing(config.db), writes=False)
    try:
        spells = spellings(config.model)
    except EngineError as error:
        print(error)
        spells = {}
    found = 0
    for problem in problems_of(store, spells):
        print(harmless(problem))
        found += 1
    ((choices,),) = store.query("SELECT count(*) FROM choice")
    ((others,),) = store.query(
        "SELECT count(*) FROM choice c JOIN model m ON m.id = c.model_id "
        f"WHERE m.tokenizer_sha256 NOT IN ({', '.join('?' * len(spells))})",
        *spells,
    )
    store.close()
    print(f"{choices:,} choices looked at, {found:,} problems")
    if others:
        print(
            f"{others:,} choices are of another tokenizer, so their ids were not spelled; name its model with --model"
        )
    if found:
        raise typer.Exit(1)


def restore(context: typer.Context, db: Database = None) -> None:
    """Put the newest copy in the place of a damaged or missing database; a damaged one is kept aside."""
    from fate.store.backup import backups, can_be_restored
    from fate.store.backup import restore as put_back
    from fate.store.opening import database_path, readable_errors

    path = database_path(settings(context, db=db).db)
    with readable_errors(path):
        if not (copies := backups(path)):
            raise FateError(f"There is no copy of {path} beside it.")
        if reason := can_be_restored(path):
            raise FateError(f"{path} was left as it is, because {reason}.")
        aside = put_back(path, copies[0])
    print(f"{path} is {copies[0].name} again{f'; what was there is now {aside.name}' if aside else ''}")


def _time(date: str) -> str:
    """An ISO 8601 date or time as the database writes times."""
    try:
        return datetime.fromisoformat(date).astimezone(UTC).isoformat(timespec="microseconds")
    except (ValueError, OverflowError) as error:
        raise FateError(f"--since is a date like 2026-01-31, not {date!r}.") from error


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{one_line(name)} {n:,}" for name, n in counts.items()) or "none yet"
