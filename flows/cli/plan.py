"""Command `rampforge plan`: estimated cost of a configuration, and comparison of a plan with the actual cost."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, RenderableType

from flows.cli.locations import fetch_measured
from flows.cli.options import Config, Overrides
from flows.configuration.cache import cache_folder
from flows.configuration.run_config import load_config
from pipeline.errors import ConfigError
from schemas.plan import CostPlan, PlanComparison
from schemas.scale_plan import MachineFleet

PLAIN_WIDTH = 220
"""Width without a terminal; nothing is folded."""

Measured = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="RUN",
        help="Use the means of this run, whose stages that called language models must be finished, or those saved by "
        "--save-means. Without --config, its configuration is planned.",
        parser=fetch_measured,
    ),
]
Compared = Annotated[
    Path | None,
    typer.Option(metavar="RUN", help="Compare the plan of this run with the actual cost.", parser=fetch_measured),
]


def plan(
    config: Config = None,
    overrides: Overrides = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Number of tasks to plan for.")] = None,
    measured: Measured = None,
    compare: Compared = None,
    gpus: Annotated[
        int | None, typer.Option(min=1, help="Number of GPUs that serve the models, to compute GPU-hours.")
    ] = None,
    tokens_per_second: Annotated[
        float | None, typer.Option(min=0.001, help="Total throughput in tokens, sent and received.")
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(metavar="WIKI", help="Wiki to plan for, at the rates of --from: enwiki, or a YAML file."),
    ] = None,
    trajectories: Annotated[int, typer.Option(min=1, help="With --scale: number of attempts.")] = 10_000_000,
    machines: Annotated[int, typer.Option(min=1, help="With --scale: number of machines.")] = 1,
    cores: Annotated[int, typer.Option(min=1, help="With --scale: CPU cores per machine.")] = 64,
    machine_price: Annotated[
        float | None, typer.Option(min=0, help="With --scale: price of a machine per hour.")
    ] = None,
    save_means: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the means used to this file, for --from.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Estimate the calls, tokens, money, GPU-hours and hours of a run, by role, without spending anything.

    For a whole wiki: `rampforge plan --scale enwiki --from outputs/demo --machines 4 --cores 64`.

    Recommended: `rampforge run --limit 50 --name pilot`, then `rampforge plan --from outputs/pilot --limit 100000`.
    """
    from flows.cli.plan_tables import draw_scale
    from flows.execution.plan import PlanQuestion, answer, answer_scale, look_back, write_means

    changes = [*(overrides or []), *([f"masking.limit={limit}"] if limit else [])]
    workers = os.cpu_count() or 1
    question = PlanQuestion(measured, gpus, tokens_per_second, cache_folder(), workers)
    if compare and (config or changes):
        raise ConfigError("--compare uses the run's own configuration", "leave out --config, --set and --limit")
    if scale:
        base = question.find_config() if config is None else None
        fleet = MachineFleet(machines=machines, cores=cores, price=machine_price)
        scaled = answer_scale(question, load_config(config, changes, base), scale, trajectories, fleet)
        if as_json:
            typer.echo(scaled.model_dump_json(indent=1))
        else:
            _draw(partial(draw_scale, scaled))
        return
    if compare:
        made, rows = look_back(question, compare)
    else:
        base = question.find_config() if config is None else None
        made, rows = answer(question, load_config(config, changes, base)), ()
    if save_means:
        write_means(question, save_means)
    _show(made, rows, as_json)


def _show(made: CostPlan, rows: Sequence[PlanComparison], as_json: bool) -> None:
    from flows.cli.plan_tables import draw_comparison, draw_plan

    if not as_json:
        _draw(lambda terminal: draw_comparison(made, rows, terminal) if rows else draw_plan(made, terminal))
        return
    values = made.model_dump(mode="json")
    if rows:
        values = {"plan": values, "compared": [row.model_dump(mode="json") for row in rows]}
    typer.echo(json.dumps(values, indent=1, ensure_ascii=False))


def _draw(draw: Callable[[bool], Iterable[RenderableType]]) -> None:
    """Print the parts of a plan. `draw` takes whether they are for a terminal."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=PLAIN_WIDTH)
    for part in draw(console.is_terminal):
        console.print(part, highlight=False)
