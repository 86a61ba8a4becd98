"""Tables of a plan: drawn on a terminal, plain columns elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from pipeline.planning.estimate import ALL, STOPS, WITHIN
from schemas.plan import CapCheck, CostPlan, PlanComparison, Range
from schemas.scale_plan import ScalePlan

COLOURS = {WITHIN: "green", STOPS: "bold red"}
SCALES = ((1e9, 1e9, "B"), (1e6, 1e6, "M"), (1e4, 1e3, "k"))


def draw_plan(plan: CostPlan, terminal: bool) -> Iterator[RenderableType]:
    """Print a plan."""
    yield from _draw_head(plan)
    if len(plan.roles) > 1:
        yield _draw_roles(plan, terminal)
    for name, hours in (
        (f"at {plan.tokens_per_second or 0:,.0f} tokens a second", plan.hours_at_pace),
        (f"with {plan.in_flight:,} concurrent calls at the same latency", plan.hours_at_full_flight),
    ):
        if hours is not None:
            yield Text(f"hours {name}: {write_range(hours)}")
    if plan.gpus and plan.tokens_per_second:
        yield Text(f"GPU-hours: {plan.gpus} GPUs deliver {plan.tokens_per_second:,.0f} tokens a second together")
    for cap in plan.caps:
        yield _draw_cap(cap)
    for note in plan.notes:
        yield Text(f"note: {note}", style="yellow")


def _draw_head(plan: CostPlan) -> Iterator[Text]:
    work = plan.workload
    yield Text(f"{work.tasks:,} tasks ({work.known_from})")
    yield Text(f"{work.attempts:,} attempts of {write_range(work.turns)} turns")
    if work.passages:
        yield Text(f"{work.passages:,} passages sent to the extractor")
    yield Text(f"means: {plan.means}", style="" if plan.measured else "yellow")


def make_table(title: str, terminal: bool) -> Table:
    """Return a table for a terminal, or one of plain columns."""
    return Table(title=title, title_justify="left", box=box.HEAVY_HEAD if terminal else None)


def _draw_roles(plan: CostPlan, terminal: bool) -> Table:
    table = make_table("planned: mean (low to high)", terminal)
    for column in ("role", "model"):
        table.add_column(column, overflow="fold")
    for column in ("calls", "tokens sent", "tokens received", "money", "GPU-hours"):
        table.add_column(column, justify="right")
    for role in plan.roles:
        cells = (role.calls, role.prompt_tokens, role.completion_tokens, role.money, role.gpu_hours)
        style = "bold" if role.role == ALL else ""
        # Text, not markup: a model's name may contain brackets.
        table.add_row(Text(role.role), Text(role.model), *(write_range(cell) for cell in cells), style=style)
    return table


def _draw_cap(cap: CapCheck) -> Text:
    planned = write_range(cap.planned) if cap.planned else "unknown"
    reaches = f", reaches {cap.reaches:.0%} of the tasks" if cap.reaches is not None and cap.reaches < 1 else ""
    text = f"cap llm.budget.{cap.cap}={write_number(cap.limit)}: {cap.verdict} (planned {planned}{reaches})"
    return Text(text, style=COLOURS.get(cap.verdict, "yellow"))


def draw_comparison(plan: CostPlan, rows: Sequence[PlanComparison], terminal: bool) -> Iterator[RenderableType]:
    """Print the comparison of a plan with the actual cost."""
    yield from _draw_head(plan)
    table = make_table("planned and actual", terminal)
    for column in ("role", ""):
        table.add_column(column)
    for column in ("planned: mean (low to high)", "spent", "actual / mean", "in the range"):
        table.add_column(column, justify="right")
    for row in rows:
        ratio, inside = "-", "-"
        if row.planned is not None:
            ratio = f"{row.actual / row.planned.mean:.2f}" if row.planned.mean else "-"
            inside = "yes" if row.planned.low <= row.actual <= row.planned.high else "no"
        table.add_row(
            Text(row.role),
            row.quantity,
            write_range(row.planned),
            write_number(row.actual),
            ratio,
            inside,
            style="bold" if row.role == ALL else "",
        )
    yield table


def write_range(value: Range | None) -> str:
    """Write a range on one line; `-` if unknown."""
    if value is None:
        return "-"
    mean, low, high = (write_number(number) for number in (value.mean, value.low, value.high))
    return mean if low == high else f"{mean} ({low} to {high})"


def write_number(value: float) -> str:
    """Write a number with about three digits."""
    for least, unit, letter in SCALES:
        if value >= least:
            return f"{value / unit:,.{1 if value < 100 * unit else 0}f}{letter}"
    return f"{value:,.0f}" if value == int(value) or value >= 100 else f"{value:.3g}"


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
        yield Text(
            f"price of the machines: {plan.machine_money:,.0f} ({fleet.machines:,}, {plan.hours:,.1f} hours each)"
        )
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
