"""Command `rampforge inspect`: view of a run, a dataset or a shard, in the terminal or in a browser."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.errors import ConfigError
from pipeline.inspecting.text_tables import TextTable, make_harmless

PLAIN_WIDTH = 220
"""Width without a terminal, beyond which cells are folded."""


def print_grids(grids: Sequence[TextTable], console: Console | None = None) -> None:
    """Print tables, one below the other."""
    console = console or (Console() if sys.stdout.isatty() else Console(width=PLAIN_WIDTH))
    for grid in grids:
        table = Table(title=Text(make_harmless(grid.title)), title_justify="left", box=box.SIMPLE_HEAD, show_edge=False)
        for number, name in enumerate(grid.columns):
            table.add_column(
                Text(make_harmless(name)),
                justify="right" if number in grid.numbers else "left",
                overflow="fold",
                no_wrap=number in grid.numbers | grid.whole,
            )
        for row in grid.rows:
            table.add_row(*(Text(make_harmless(cell)) for cell in row))
        console.print(table)
    if not grids:
        console.print("no rows")


if TYPE_CHECKING:
    from pipeline.inspecting.readonly_database import ReadonlyDatabase
    from pipeline.inspecting.row_query import RowQuery
    from pipeline.inspecting.shard_listing import ShardListing

ROWS = 20


class InspectQuestion(NamedTuple):
    """Query given by the options."""

    row: str | None
    where: str | None
    sample: int | None
    dataset: str | None
    limit: int
    seed: int
    diff: str | None
    force: bool


def inspect(
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="Folder of a run or a dataset, a shard, or an s3:// URL of one.")
    ],
    row: Annotated[str | None, typer.Option(metavar="ID", help="Show all fields of the rows with this id.")] = None,
    where: Annotated[
        str | None, typer.Option(metavar="SQL", help="Show rows that match this condition, e.g. \"hide = 'passage'\".")
    ] = None,
    sample: Annotated[int | None, typer.Option(min=1, metavar="N", help="Number of rows to draw with --seed.")] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Dataset; default: `attempts`, the trajectories joined with their verdicts.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of rows.")] = ROWS,
    seed: Annotated[int, typer.Option(help="Seed of the sample.")] = 0,
    diff: Annotated[str | None, typer.Option(metavar="RUN_B", help="Show differences from this run.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Compare even if the engines differ.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    web: Annotated[bool, typer.Option("--web", help="Serve pages for the browser; PATH may hold runs.")] = False,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port; 0 for any free one. Default: 8377, or the next free one."),
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(metavar="MODEL", help="For --web: model whose tokens to show.")
    ] = None,
) -> None:
    """Show the totals or rows of a run, a dataset or a shard. Data are never changed.

    Conditions are SQL (DuckDB): --where "accepted AND masks = 2", --dataset tasks --where "title LIKE 'A%'".
    """
    if sum(option is not None for option in (row, diff, where if sample is None else sample)) > 1:
        raise ConfigError("--row, --diff and --where exclude each other", "use one of them")
    from pipeline.inspecting.conditions import enclose_condition
    from pipeline.inspecting.locations import open_location

    if where is not None:
        enclose_condition(where)
    place = open_location(path)
    if web:
        from flows.cli.inspect_web import serve_pages

        serve_pages(place, port, tokenizer)
        return
    from pipeline.inspecting.errors import UnreadableError
    from pipeline.inspecting.shard_listing import drop_damaged, list_shards

    listing, query = list_shards(place), InspectQuestion(row, where, sample, dataset, limit, seed, diff, force)
    try:
        value, grids = _look(listing, query)
    except UnreadableError:
        sound = drop_damaged(listing)
        if len(sound.broken) == len(listing.broken):
            raise
        listing = sound
        value, grids = _look(listing, query)
    for one in listing.broken:
        typer.echo(f"skipped {one.name!r}: {one.why!r}", err=True)
    _print(value, grids, as_json, markdown)


def _look(listing: ShardListing, query: InspectQuestion) -> tuple[Any, Sequence[TextTable]]:
    """Return the result as plain values and as tables."""
    from pipeline.inspecting.readonly_database import ReadonlyDatabase

    database = ReadonlyDatabase(listing)
    try:
        return _ask(database, query)
    finally:
        database.close()


def _ask(database: ReadonlyDatabase, query: InspectQuestion) -> tuple[Any, Sequence[TextTable]]:
    from pipeline.inspecting.row_query import RowQuery
    from pipeline.inspecting.summary import summarise
    from pipeline.inspecting.text_tables import summary_tables

    if query.row is not None:
        return _find_row(database, query.row)
    if query.diff is not None:
        return _compare(database, query.diff, query.force)
    if query.where is None and query.sample is None and query.dataset is None:
        summary = summarise(database)
        record = summary.record.model_dump(mode="json") if summary.record else None
        funnel = [step.model_dump(mode="json") for step in summary.funnel]
        ceilings = {part: measure.model_dump(mode="json") for part, measure in summary.ceilings.items()}
        values = asdict(summary) | {"record": record, "funnel": funnel, "ceilings": ceilings}
        return values, summary_tables(summary)
    row_query = RowQuery(
        dataset=query.dataset or _choose_dataset(database),
        where=query.where or "",
        limit=query.sample or query.limit,
        sample_seed=query.seed if query.sample else None,
    )
    return _read(database, row_query)


def _read(database: ReadonlyDatabase, query: RowQuery) -> tuple[Any, Sequence[TextTable]]:
    from pipeline.inspecting.attempts_table import ATTEMPTS, make_attempts
    from pipeline.inspecting.row_query import read_rows
    from pipeline.inspecting.text_tables import page_table

    if query.dataset == ATTEMPTS:
        make_attempts(database)
    page = read_rows(database, query)
    values = {"dataset": page.dataset, "total": page.total, "searched": page.searched, "rows": page.result.as_dicts()}
    return values, [page_table(page)]


def _find_row(database: ReadonlyDatabase, key: str) -> tuple[Any, Sequence[TextTable]]:
    from pipeline.inspecting.errors import InspectError
    from pipeline.inspecting.reading import find_rows
    from pipeline.inspecting.text_tables import row_table

    found = find_rows(database, key)
    if not found:
        raise InspectError(f"no row with the id {key}", "find rows by their content with --where")
    return [asdict(one) for one in found], [row_table(one.dataset, one.row) for one in found]


def _compare(database: ReadonlyDatabase, other: str, force: bool) -> tuple[Any, Sequence[TextTable]]:
    from pipeline.inspecting.locations import open_location
    from pipeline.inspecting.readonly_database import ReadonlyDatabase
    from pipeline.inspecting.run_diff import compare_runs
    from pipeline.inspecting.shard_listing import list_shards
    from pipeline.inspecting.summary import summarise
    from pipeline.inspecting.text_tables import diff_tables

    second = ReadonlyDatabase(list_shards(open_location(other)))
    try:
        difference = compare_runs(summarise(database), summarise(second), force)
    finally:
        second.close()
    return asdict(difference), diff_tables(difference)


def _choose_dataset(database: ReadonlyDatabase) -> str:
    from pipeline.inspecting.attempts_table import ATTEMPTS
    from pipeline.inspecting.row_query import has_attempts

    names = list(database.listing.datasets)
    if len(names) == 1:
        return names[0]
    if not has_attempts(database):
        raise ConfigError("several datasets match: name one", f"--dataset {' | '.join(names)}")
    return ATTEMPTS


def _print(value: Any, grids: Sequence[TextTable], as_json: bool, markdown: bool) -> None:
    from pipeline.inspecting.text_tables import write_json, write_markdown

    if as_json:
        sys.stdout.write(write_json(value, indent=1) + "\n")
    elif markdown:
        sys.stdout.write(write_markdown(grids))
    else:
        print_grids(grids)
