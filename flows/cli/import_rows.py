"""Command `rampforge import`: trajectories that others made, as a run."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from schemas.imports import ImportFormat


def import_files(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="JSON lines, JSON or Parquet files.")],
    out: Annotated[Path, typer.Option(metavar="RUN", help="Folder of the run to make.")],
    format_: Annotated[
        ImportFormat | None, typer.Option("--as", help="Format of the rows; default: detected from the first ones.")
    ] = None,
) -> None:
    """Make a run of tasks and trajectories from rows of ATIF, OpenResearcher, OpenSeeker or Search-R1.

    It can then be inspected, judged, decontaminated, exported and reported like any other.
    """
    from flows.importing.job import import_rows

    done, console = import_rows(files, out, format_), Console()
    for file, found in zip(files, done.formats, strict=True):
        console.print(f"{file}: {found}", highlight=False, markup=False, soft_wrap=True)
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in done.funnel.rejected.items())
    console.print(
        f"{done.funnel.entered:,} rows: {done.tasks:,} tasks, {done.trajectories:,} trajectories"
        + (f"; rejected: {reasons} ({out}/rejects)" if reasons else ""),
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    if done.other_tools:
        console.print(
            f"{done.other_tools:,} trajectories call other tools than a search: exports have no demonstrations of them",
            highlight=False,
            soft_wrap=True,
        )
    if not done.trajectories:
        console.print("no trajectories: there is nothing to judge, or to export", highlight=False, soft_wrap=True)
    command = "judge" if done.trajectories else "inspect"
    console.print(f"next: rampforge {command} {shlex.quote(str(out))}", highlight=False, markup=False, soft_wrap=True)
