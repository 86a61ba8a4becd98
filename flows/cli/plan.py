"""`rampforge plan`: what a configuration will cost, before anything is spent; and what one was said to cost beside what
it did.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from flows.cli.locations import fetch_measured
from flows.cli.options import Config, Overrides
from flows.configuration.cache import cache_folder
from flows.configuration.run_config import load_config
from pipeline.errors import ConfigError
from schemas.plan import CostPlan, PlanComparison
from schemas.scale_plan import MachineFleet, ScalePlan

PLAIN_WIDTH = 220
"""Columns without a terminal: nothing is folded."""

Measured = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="RUN",
        help="Use what was measured in this run (or saved by --save-means).",
        parser=fetch_measured,
    ),
]
Compared = Annotated[
    Path | None,
    typer.Option(
        metavar="RUN", help="Show what the plan of this run said beside what happened.", parser=fetch_measured
    ),
]


def plan(
    config: Config = None,
    overrides: Overrides = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Plan for so many tasks.")] = None,
    measured: Measured = None,
    compare: Compared = None,
    gpus: Annotated[int | None, typer.Option(min=1, help="GPUs that serve the models, for GPU-hours.")] = None,
    tokens_per_second: Annotated[
        float | None, typer.Option(min=0.001, help="Tokens, sent and received, that they do in a second together.")
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(metavar="WIKI", help="Plan for a whole wiki, at the rates of --from: enwiki, or a YAML file."),
    ] = None,
    trajectories: Annotated[int, typer.Option(min=1, help="With --scale: attempts wanted.")] = 10_000_000,
    machines: Annotated[int, typer.Option(min=1, help="With --scale: machines.")] = 1,
    cores: Annotated[int, typer.Option(min=1, help="With --scale: CPU cores of each.")] = 64,
    machine_price: Annotated[
        float | None, typer.Option(min=0, help="With --scale: money for an hour of one machine.")
    ] = None,
    save_means: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the means that were used: --from takes the file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what a run will need: calls, tokens, money, GPU-hours and hours, by role. Nothing is spent.

    For a whole wiki: `rampforge plan --scale enwiki --from outputs/demo --machines 4 --cores 64`.

    The right way: `rampforge run --limit 50 --name pilot`, then `rampforge plan --from outputs/pilot --limit 100000`.
    """
    from flows.execution.plan import PlanQuestion, answer, answer_scale, look_back, write_means

    words = [*(overrides or []), *([f"masking.limit={limit}"] if limit else [])]
    workers = os.cpu_count() or 1
    question = PlanQuestion(measured, gpus, tokens_per_second, cache_folder(), workers)
    if compare and (config or words):
        raise ConfigError("--compare takes the run's own configuration", "leave out --config, --set and --limit")
    if scale:
        base = question.find_config() if config is None else None
        fleet = MachineFleet(machines=machines, cores=cores, price=machine_price)
        _show_scale(answer_scale(question, load_config(config, words, base), scale, trajectories, fleet), as_json)
        return
    if compare:
        made, rows = look_back(question, compare)
    else:
        base = question.find_config() if config is None else None
        made, rows = answer(question, load_config(config, words, base)), ()
    if save_means:
        write_means(question, save_means)
    _show(made, rows, as_json)


def _show(made: CostPlan, rows: Sequence[PlanComparison], as_json: bool) -> None:
    if as_json:
        values = made.model_dump(mode="json")
        if rows:
            values = {"plan": values, "compared": [row.model_dump(mode="json") for row in rows]}
        typer.echo(json.dumps(values, indent=1, ensure_ascii=False))
        return
    from flows.cli.plan_tables import draw_comparison, draw_plan

    console = _open_console()
    for part in draw_comparison(made, rows, console.is_terminal) if rows else draw_plan(made, console.is_terminal):
        console.print(part, highlight=False)


def _show_scale(plan: ScalePlan, as_json: bool) -> None:
    if as_json:
        typer.echo(plan.model_dump_json(indent=1))
        return
    from flows.cli.scale_tables import draw_scale

    console = _open_console()
    for part in draw_scale(plan, console.is_terminal):
        console.print(part, highlight=False)


def _open_console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=PLAIN_WIDTH)
