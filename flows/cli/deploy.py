"""`rampforge deploy`: the weekly, nightly and other jobs, scheduled on a Prefect server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from flows.cli.options import Config, Overrides
from flows.configuration.run_config import load_config


def deploy(
    names: Annotated[
        list[str] | None, typer.Argument(help="Deployments, by name; all of them if none is named.")
    ] = None,
    config: Config = None,
    overrides: Overrides = None,
    pool: Annotated[str, typer.Option(help="Work pool; made if it is not there.")] = "rampforge",
    kind: Annotated[
        str, typer.Option("--type", help="Kind of a pool that has to be made: process, kubernetes ...")
    ] = "process",
    limit: Annotated[int | None, typer.Option(min=1, help="Flow runs at once in the pool.")] = None,
    out: Annotated[str | None, typer.Option(help="Folder that runs land in, as workers see it.")] = None,
    paused: Annotated[bool, typer.Option("--paused", help="Leave the schedules off for now.")] = False,
) -> None:
    """Schedule the jobs on the Prefect server that PREFECT_API_URL names.

    The sections of --config become the parameters of the deployments; each run may change them in Prefect's form.
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
