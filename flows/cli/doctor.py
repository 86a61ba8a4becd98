"""Command `rampforge doctor`: check that everything a configuration needs is available."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.checks.findings import Finding, State
from flows.cli.options import Config, Overrides
from flows.configuration.cache import cache_folder
from flows.configuration.run_config import load_config
from flows.configuration.run_context import RunContext
from pipeline.storage.run_folder import RunFolder

COLOURS = {State.OK: "green", State.WARN: "yellow", State.FAIL: "bold red"}


def doctor(
    config: Config = None,
    overrides: Overrides = None,
    out: Annotated[Path, typer.Option(help="Parent folder of the runs.")] = Path("outputs"),
) -> None:
    """Check that everything a configuration needs is available: sources, models, servers, keys, disk space.

    Exit code 1 if a run would fail.
    """
    from flows.checks.machine import check_machine
    from flows.checks.start import check_inputs, check_played, check_serving
    from flows.stages.registry import STAGES, list_roles

    settings = load_config(config, overrides or [])
    context = RunContext(RunFolder(out), settings, cache_folder())
    specs = [spec for spec in STAGES.values() if spec.enabled(settings)]
    with Console(stderr=True).status("looking"):
        report = check_played(settings, context.cache, list_roles(settings, specs), everyone=True)
        findings = [*check_inputs(context, specs), *check_serving(context), *check_machine(context), *report.findings]
    Console().print(draw_findings(findings))
    if any(finding.state is State.FAIL for finding in findings):
        raise typer.Exit(1)


def draw_findings(findings: Sequence[Finding]) -> Table:
    """Draw the findings as a table."""
    table = Table()
    for column in ("", "what", "found", "fix"):
        table.add_column(column, overflow="fold")
    for finding in findings:
        state = Text(finding.state.value, style=COLOURS[finding.state])
        # Text, not markup: a server's message may contain brackets.
        table.add_row(state, Text(finding.subject), Text(finding.detail), Text(finding.fix))
    return table
