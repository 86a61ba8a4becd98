"""Command `rampforge verify`: integrity of a run's files, and their repair."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.text import Text

from flows.configuration.cache import cache_folder
from pipeline.errors import ConfigError
from pipeline.storage.run_folder import RunFolder
from schemas.verification import Verification, VerificationFinding

SHOWN = 50
"""Findings printed for people; `--json` prints all."""
COLOURS = {True: "yellow", False: "red"}


def verify(
    folder: Annotated[str, typer.Argument(metavar="RUN", help="Folder of the run, or its URL.")],
    quick: Annotated[bool, typer.Option("--quick", help="Compare sizes only.")] = False,
    deep: Annotated[
        bool, typer.Option("--deep", help="Also check schemas, ids across datasets, assets and whole sources.")
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Discard damaged files and make them again, as `resume` does.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object with all findings.")] = False,
) -> None:
    """Compare every shard, index file, ledger file and journal of a run with its checksum. Exit code 1 on damage.

    Nothing is changed without --repair. Files in no ledger are listed and left unchanged.

        rampforge verify outputs/demo

        rampforge verify outputs/demo --deep --json

        rampforge verify s3://corpora/demo --repair
    """
    from pipeline.storage.remote.open_run import open_run

    if quick and deep:
        raise ConfigError("--quick and --deep are mutually exclusive", "use one of them")
    run = open_run(folder, cache_folder())
    found = look(run, quick=quick, deep=deep)
    if repair and not found.sound:
        from flows.execution.repair import repair_and_resume

        for line in repair_and_resume(run, found, f"process {os.getpid()} on {socket.gethostname()}"):
            Console(stderr=True).print(line, highlight=False, markup=False, soft_wrap=True)
        found = look(run, quick=quick, deep=deep)
    if as_json:
        typer.echo(found.model_dump_json(indent=1))
    else:
        show(found, Console())
    if not found.sound:
        raise typer.Exit(1)


def look(run: RunFolder, *, quick: bool, deep: bool) -> Verification:
    """Return the deviations from what was written. Raises StorageError if there is no run."""
    from pipeline.storage.run_files import open_files
    from pipeline.storage.verification.files import verify_files

    files = open_files(run)
    with show_bytes(Console(stderr=True), sum(files.sizes().values())) as note:
        found = verify_files(files, run.location, quick=quick, note=note)
    if not deep:
        return found
    from flows.checks.run_contents import list_deep_findings

    more = list_deep_findings(run, found)
    return found.model_copy(update={"findings": (*found.findings, *more)})


@contextmanager
def show_bytes(console: Console, total: int) -> Iterator[Callable[[int], None]]:
    """Show the number of bytes compared during the block."""
    from flows.monitoring.progress import PlainLines  # imports Prefect, which takes seconds

    done, lock = 0, Lock()
    lines = PlainLines(console)
    columns = (TextColumn("comparing"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("comparing", total=total)

        def note(size: int) -> None:
            nonlocal done
            with lock:
                done += size
                bar.update(task, completed=done)
                if not console.is_terminal:
                    lines.tell(lambda: f"{done:,} of {total:,} bytes compared")

        yield note


def show(found: Verification, console: Console) -> None:
    """Print the findings."""
    for finding in found.findings[:SHOWN]:
        _show_one(finding, console)
    if len(found.findings) > SHOWN:
        console.print(f"... and {len(found.findings) - SHOWN:,} more: use --json for all", highlight=False)
    harmful = sum(not finding.harmless for finding in found.findings)
    verdict = Text.assemble(("sound", "bold green")) if found.sound else Text(f"{harmful:,} faults", "bold red")
    head = f"{found.run}: {found.files:,} files, {found.bytes:,} bytes: "
    console.print(Text.assemble(head, verdict), soft_wrap=True)


def _show_one(finding: VerificationFinding, console: Console) -> None:
    words = Text.assemble((str(finding.fault), COLOURS[finding.harmless]), f" {finding.file}: {finding.what}")
    console.print(words, soft_wrap=True)
    if finding.fix:
        console.print(Text(f"  next: {finding.fix}"), soft_wrap=True)
