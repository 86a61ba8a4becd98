"""Options shared by several commands."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from flows.configuration.run_config import list_presets
from schemas.config import Engine

Config = Annotated[
    str | None, typer.Option("--config", "-c", help=f"A YAML file, or a preset: {', '.join(list_presets())}.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="SECTION.KEY=VALUE", help="Set one key, e.g. masking.selection=difficulty."),
]

EngineName = Annotated[
    Engine | None,
    typer.Option("--engine", help="Executor of shards: this machine, or a Ray cluster (execution.engine)."),
]
RayAddress = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="Head of the Ray cluster, or auto; default: start Ray on this machine."),
]

OtherVersion = Annotated[
    bool,
    typer.Option(
        "--other-version", help="Resume a run that was started with another version of rampforge or of its libraries."
    ),
]


class PlainHelpCommand(TyperCommand):
    """Command whose help lists its options, because a table of 80 columns would cut their names."""

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__(*args, **values | {"rich_markup_mode": None})


def place_work(engine: Engine | None, ray_address: str | None) -> list[str]:
    """Return the `--set` values of these two options. An address alone implies Ray."""
    if ray_address is not None:
        return [f"execution.engine={engine or Engine.RAY}", f"execution.ray_address={ray_address}"]
    return [f"execution.engine={engine}"] if engine else []
