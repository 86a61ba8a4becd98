"""Tables of a scale plan."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from flows.cli.plan_tables import draw_plan, make_table, write_number
from schemas.scale_plan import ScalePlan


def draw_scale(plan: ScalePlan, terminal: bool) -> Iterator[RenderableType]:
    """Print a scale plan."""
    wiki, fleet = plan.wiki, plan.fleet
    yield Text(f"{wiki.name}: {wiki.articles:,} articles, {write_number(wiki.words)} words ({wiki.source})")
    yield Text(
        f"{plan.trajectories:,} attempts at {plan.tasks:,} tasks, over {write_number(plan.passages)} passages; "
        f"on {fleet.machines:,} machines of {fleet.cores:,} cores; rates of {plan.measured}"
    )
    yield _draw_stages(plan, terminal)
    yield Text(f"disk: {_write_bytes(plan.bytes)}, the dump of {_write_bytes(wiki.dump_bytes)} included")
    if plan.index_memory is not None:
        yield Text(f"memory: {_write_bytes(plan.index_memory)} on the machine that builds the index")
    if plan.machine_money is not None:
        yield Text(f"machines: {plan.machine_money:,.0f} for {plan.hours:,.1f} hours of {fleet.machines:,}")
    worst = plan.bottleneck
    yield Text(f"bottleneck: {worst.stage}, {(worst.hours or 0) / max(plan.hours, 1e-9):.0%} of the time", style="bold")
    for note in plan.notes:
        yield Text(f"note: {note}", style="yellow")
    if plan.models is not None:
        yield from draw_plan(plan.models.model_copy(update={"notes": ()}), terminal)


def _draw_stages(plan: ScalePlan, terminal: bool) -> Table:
    table = make_table("by stage", terminal)
    table.add_column("stage")
    table.add_column("grows with")
    for column in ("of these", "core-hours", "hours", "disk"):
        table.add_column(column, justify="right")
    for need in plan.stages:
        hours = "-" if need.hours is None else f"{need.hours:,.2f}"
        amounts = (write_number(need.units), f"{need.core_hours:,.1f}", hours, _write_bytes(need.bytes))
        table.add_row(need.stage, need.unit, *amounts)
    stages_bytes = plan.bytes - plan.wiki.dump_bytes
    table.add_row(
        "all", "", "", f"{plan.core_hours:,.1f}", f"{plan.hours:,.2f}", _write_bytes(stages_bytes), style="bold"
    )
    return table


def _write_bytes(count: float) -> str:
    return f"{count / 1e12:,.2f} TB" if count >= 1e12 else f"{count / 1e9:,.1f} GB"
