"""`rampforge migrate`: a run that an older rampforge made, for this one."""

from __future__ import annotations

import os
import socket
from collections import Counter
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from flows.configuration.cache import cache_folder


def migrate(
    folder: Annotated[str, typer.Argument(metavar="RUN", help="The run's folder, or its URL.")],
    write: Annotated[bool, typer.Option("--write", help="Do it; else it is only shown.")] = False,
) -> None:
    """Bring the shards of a run to today's schema versions, and show what changes. Ids stay, finished stages too."""
    from flows.stages.registry import STAGES, list_models
    from pipeline.storage.migration import find_outdated, migrate_run
    from pipeline.storage.remote.open_run import open_run

    run = open_run(folder, cache_folder())
    run.record()
    stages, models = tuple(STAGES), list_models()
    with run.locked(f"process {os.getpid()} on {socket.gethostname()}"):
        found = migrate_run(run, stages, models) if write else find_outdated(run, stages, models)
    console = Console()
    if not found:
        console.print(f"{run.location}: every shard is of today's version", highlight=False, soft_wrap=True)
        return
    table = Table("dataset", "version", "what changes", title="migrated" if write else "to be migrated")
    table.add_column("files", justify="right")
    kinds = Counter((item.file.dataset, item.version, item.says) for item in found)
    for (dataset, version, says), files in sorted(kinds.items()):
        table.add_row(
            dataset, f"{version} to {models[dataset].version}", "; ".join(says) or "new columns", f"{files:,}"
        )
    console.print(table)
    if not write:
        console.print("nothing was changed: `rampforge migrate RUN --write` does", highlight=False, soft_wrap=True)
