"""Options that several commands take."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.configuration import list_presets

Config = Annotated[
    str | None,
    typer.Option("--config", "-c", help=f"A YAML file, or one of ours by name: {', '.join(list_presets())}."),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="SECTION.KEY=VALUE", help="Set one key, e.g. masking.selection=perplexity."),
]
