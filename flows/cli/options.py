"""Options that several commands take."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.configuration.run_config import list_presets
from schemas.config import Engine

Config = Annotated[
    str | None,
    typer.Option("--config", "-c", help=f"A YAML file, or one of ours by name: {', '.join(list_presets())}."),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="SECTION.KEY=VALUE", help="Set one key, e.g. masking.selection=perplexity."),
]

EngineName = Annotated[
    Engine | None,
    typer.Option("--engine", help="Where shards are worked on: this machine, or a Ray cluster (execution.engine)."),
]
RayAddress = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="Head of the Ray cluster, or auto; without it Ray is started here."),
]

OtherVersion = Annotated[
    bool,
    typer.Option(
        "--other-version", help="Go on with a run that another version of rampforge, or of a library it uses, began."
    ),
]


def place_work(engine: Engine | None, ray_address: str | None) -> list[str]:
    """The `--set` that these two options stand for. An address alone asks for Ray."""
    if ray_address is not None:
        return [f"execution.engine={engine or Engine.RAY}", f"execution.ray_address={ray_address}"]
    return [f"execution.engine={engine}"] if engine else []
