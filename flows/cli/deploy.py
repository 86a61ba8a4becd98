"""Command `rampforge deploy`: scheduled jobs on a Prefect server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from flows.cli.options import Config, Overrides
from flows.configuration.run_config import load_config


def deploy(
    names: Annotated[list[str] | None, typer.Argument(help="Names of deployments; default: all.")] = None,
    config: Config = None,
    overrides: Overrides = None,
    pool: Annotated[str, typer.Option(help="Work pool; created if it does not exist.")] = "rampforge",
    kind: Annotated[str, typer.Option("--type", help="Type of a pool to create: process, kubernetes ...")] = "process",
    limit: Annotated[int | None, typer.Option(min=1, help="Maximum concurrent flow runs in the pool.")] = None,
    out: Annotated[str | None, typer.Option(help="Parent folder of the runs, as seen by the workers.")] = None,
    paused: Annotated[bool, typer.Option("--paused", help="Create the schedules inactive.")] = False,
) -> None:
    """Create scheduled deployments on the Prefect server at PREFECT_API_URL.

    The sections of --config become the parameters of the deployments; each run may change them in the form of Prefect.
    Afterwards start a worker on each machine: prefect worker start --pool rampforge
    """
    from flows.deployments.deployer import Target
    from flows.deployments.deployer import deploy as put_on_server

    settings = load_config(config, overrides or []) if config or overrides else None
    target = Target(pool, kind, limit, out, Path.cwd(), paused)
    console = Console(stderr=True)
    for name in put_on_server(target, settings, names or ()):
        console.print(f"deployed {name}", highlight=False)
    console.print(f"next: prefect worker start --pool {pool}", highlight=False)
