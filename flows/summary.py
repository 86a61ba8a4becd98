"""What a finished sitting tells on the terminal: the funnel, who was accepted, where to look."""

from __future__ import annotations

from pathlib import Path

import duckdb
from rich.console import Console
from rich.table import Table

from flows.run_record import collect_funnel
from pipeline.storage.run_folder import RunFolder

ACCEPTED = """
SELECT t.hide, k.mask_count, count(*), count(*) FILTER (j.accepted),
       count(*) FILTER (j.answer_seen), count(*) FILTER (j.accepted AND j.answer_seen)
FROM read_parquet($judgements) j
JOIN read_parquet($trajectories) t USING (trajectory_id)
JOIN read_parquet($tasks) k ON k.task_id = t.task_id
GROUP BY ALL ORDER BY ALL
"""
"""Attempts and accepted ones by what was hidden and how many masks; `seen`: every answer stood in a passage shown."""


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
    for column in ("attempts", "accepted", "share", "answers seen", "accepted of these"):
        table.add_column(column, justify="right")
    for hide, masks, attempts, accepted, seen, accepted_seen in acceptance_rows(run):
        shares = (f"{accepted / attempts:.0%}", f"{seen:,}", f"{accepted_seen / seen:.0%}" if seen else "-")
        table.add_row(hide, str(masks), f"{attempts:,}", f"{accepted:,}", *shares)
    return table


def acceptance_rows(run: RunFolder) -> list[tuple[str, int, int, int, int, int]]:
    """Hide mode, mask count, attempts, accepted, attempts whose every answer was shown, accepted among these."""
    files = {name: str(_parts(run, name)) for name in ("judgements", "trajectories", "tasks")}
    with duckdb.connect() as database:
        rows: list[tuple[str, int, int, int, int, int]] = database.execute(ACCEPTED, files).fetchall()
    return rows


def _parts(run: RunFolder, dataset: str) -> Path:
    return run.dataset(dataset) / "part-*.parquet"
