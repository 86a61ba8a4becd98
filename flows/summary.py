"""What a finished sitting tells on the terminal: the funnel, who was accepted, where to look."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from flows.run_record import collect_funnel
from flows.stage_openers import list_folders
from pipeline.report.collecting import collect_report
from pipeline.storage.run_folder import RunFolder


def print_summary(run: RunFolder, console: Console) -> None:
    """Print what lies in a run folder."""
    console.print(_draw_funnel(run))
    if run.find_manifest("judgements"):
        console.print(_draw_acceptance(run))
    if run.report.exists():
        console.print(f"report: [bold]{run.report}[/]", highlight=False, soft_wrap=True)


def _draw_funnel(run: RunFolder) -> Table:
    table = Table("stage", "unit", title=f"{run.root}: in = out + rejected")
    for column in ("in", "out", "rejected"):
        table.add_column(column, justify="right")
    table.add_column("most common reasons")
    for step in collect_funnel(run):
        worst = sorted(step.rejected.items(), key=lambda item: -item[1])
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in worst[:4])
        rejected = sum(step.rejected.values())
        table.add_row(step.stage, step.unit, f"{step.entered:,}", f"{step.passed:,}", f"{rejected:,}", reasons)
    return table


def _draw_acceptance(run: RunFolder) -> Table:
    table = Table("hidden", "masks", title="accepted trajectories")
    for column in ("attempts", "accepted", "share", "answers shown", "accepted of these"):
        table.add_column(column, justify="right")
    for row in collect_report(run.record(), list_folders(run), examples=0).acceptance:
        share = f"{row.accepted / row.attempts:.0%}"
        of_shown = f"{row.accepted_seen / row.seen:.0%}" if row.seen else "-"
        table.add_row(
            row.hide,
            str(row.masks or "all"),
            f"{row.attempts:,}",
            f"{row.accepted:,}",
            share,
            f"{row.seen:,}",
            of_shown,
        )
    return table
