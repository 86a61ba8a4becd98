"""Summary of a finished session on the terminal: the funnel, accepted trajectories, and where to continue."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.stages.registry import list_models
from flows.stages.run_record import collect_funnel
from pipeline.report.agreement import AgreementRow, compare_steps, drop_comparisons
from pipeline.report.collecting import collect_report
from pipeline.report.leaks import warn_of_gold
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shards import reading_boundary
from schemas.config import StageName
from schemas.spending import RunSpending


def print_summary(run: RunFolder, console: Console) -> None:
    """Print the summary of a run."""
    console.print(_draw_funnel(run))
    if comparisons := compare_steps(collect_funnel(run)):
        console.print(_draw_comparisons(comparisons))
    if run.find_manifest(StageName.JUDGEMENTS):
        console.print(_draw_acceptance(run))
    if (record := run.find_record()) and record.spending and record.spending.roles:
        console.print(_draw_spending(record.spending))
    if run.report.exists():
        console.print(f"report: [bold]{run.location}/{run.report.name}[/]", highlight=False, soft_wrap=True)
    if run.find_manifest(StageName.TRAJECTORIES):
        line = f"all attempts, in a browser: [bold]rampforge inspect --web {run.location}[/]"
        console.print(line, highlight=False, soft_wrap=True)


def _draw_funnel(run: RunFolder) -> Table:
    table = Table("stage", "unit", title=f"{run.location}: in = out + rejected")
    for column in ("in", "out", "rejected"):
        table.add_column(column, justify="right")
    table.add_column("most common reasons")
    for step in drop_comparisons(collect_funnel(run)):
        worst = sorted(step.rejected.items(), key=lambda item: -item[1])
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in worst[:4])
        rejected = sum(step.rejected.values())
        table.add_row(step.stage, step.unit, f"{step.entered:,}", f"{step.passed:,}", f"{rejected:,}", reasons)
    return table


def _draw_comparisons(comparisons: Sequence[AgreementRow]) -> Table:
    table = Table("compared", title="comparisons")
    for column in ("cases", "agree", "share"):
        table.add_column(column, justify="right")
    table.add_column("the others")
    for row in comparisons:
        others = ", ".join(f"{words} {count:,}" for words, count in row.differences)
        share = f"{row.agreed / row.compared:.0%}"
        table.add_row(Text(row.topic), f"{row.compared:,}", f"{row.agreed:,}", share, Text(others))
    return table


def _draw_acceptance(run: RunFolder) -> Table:
    table = Table("hidden", "masks", title="accepted trajectories")
    for column in ("attempts", "accepted", "share", "answers shown", "accepted of these"):
        table.add_column(column, justify="right")
    with reading_boundary(run.root, run.location):
        data = collect_report(run.record(), {name: run.files(name) for name in list_models()}, examples=0)
    if data.simulated:
        table.caption = f"[yellow]warning:[/] {warn_of_gold(data.simulated)}"
    for row in data.acceptance:
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


def _draw_spending(spending: RunSpending) -> Table:
    """Return a table of the consumption of the language models, per accepted trajectory if there is
    one, else in total.
    """
    unit = (
        f"per trajectory of {spending.accepted:,} accepted" if spending.per_accepted else "in total, none accepted yet"
    )
    table = Table("role", title=f"calls to language models: {unit}")
    for column in ("calls", "tokens sent", "tokens received", "seconds of calls", "cost"):
        table.add_column(column, justify="right")
    for row in spending.per_accepted or spending.roles:
        amounts = (f"{number:,.1f}" for number in (row.calls, row.prompt_tokens, row.completion_tokens, row.seconds))
        table.add_row(row.role, *amounts, f"{row.cost:,.5f}" if row.cost else "-")
    total = sum(role.calls for role in spending.roles)
    cost = sum(role.cost for role in spending.roles)
    unpriced = f"; no price is known for {', '.join(spending.unpriced)}" if spending.unpriced else ""
    # Text, not markup: a model's name may contain brackets.
    table.caption = Text(f"{total:,} calls in {spending.busy_seconds:,.0f} s, cost {cost:,.2f}{unpriced}")
    return table
