"""Command `rampforge gc`: removal of leftovers and old runs."""

from __future__ import annotations

import time
from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from flows.configuration.cache import cache_folder
from pipeline.errors import ConfigError
from schemas.locations import is_url

MIB = 1 << 20


def collect_garbage(
    out: Annotated[str, typer.Argument(metavar="OUT", help="Parent folder of the runs, or one run.")] = "outputs",
    days: Annotated[
        float, typer.Option(min=0, help="Days without a change after which something counts as old.")
    ] = 30.0,
    runs: Annotated[bool, typer.Option("--runs", help="Include whole runs that are old.")] = False,
    delete: Annotated[bool, typer.Option("--delete", help="Remove the items instead of only listing them.")] = False,
) -> None:
    """List or remove leftovers of killed processes, old working folders and copies, and with --runs old runs.

    A run in progress is left unchanged; paid calls of language models are removed only together with their run.
    """
    from flows.stages.registry import list_models
    from pipeline.storage.garbage import find_garbage, remove_garbage

    if is_url(out):
        raise ConfigError(
            f"{out}: gc works on this machine only",
            "remove old runs with the store's own tools, or set an expiry rule on its bucket",
        )
    found = find_garbage(Path(out), cache_folder(), tuple(list_models()), time.time(), days, runs=runs)
    console = Console()
    table = Table("kind", "in", title="removed" if delete else "removable")
    for column in ("things", "MiB"):
        table.add_column(column, justify="right")
    shown = remove_garbage(found) if delete else found
    order = sorted(shown, key=lambda item: (item.kind, str(item.run)))
    for (kind, run), group in groupby(order, key=lambda item: (item.kind, item.run)):
        items = list(group)
        table.add_row(kind, str(run), f"{len(items):,}", f"{sum(item.size for item in items) / MIB:,.1f}")
    if not shown:
        console.print("nothing to remove")
        return
    console.print(table)
    total = sum(item.size for item in shown) / MIB
    rest = "" if delete else "; nothing was removed: run `rampforge gc --delete`"
    console.print(f"{total:,.1f} MiB{rest}", highlight=False, soft_wrap=True)
