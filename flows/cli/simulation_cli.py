"""Command `rampforge search simulation-data`: simulation-tuning data from a judged run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from flows.cli.locations import JudgedRun
from pipeline.storage.run_folder import RunFolder


def simulation_data(
    folder: JudgedRun,
    out: Annotated[Path, typer.Option(help="Folder for train.parquet, validation.parquet and rejects.parquet.")],
    informed: Annotated[
        bool, typer.Option("--informed/--query-only", help="Include the masked text and the gold in the prompts.")
    ] = True,
    validation: Annotated[
        float, typer.Option(min=0, max=0.5, help="Share of the pages held out for validation.")
    ] = 0.05,
    balance: Annotated[bool, typer.Option("--balance/--all", help="Balance useful and noisy examples.")] = True,
) -> None:
    """Turn the searches of a run into training data for a simulated search engine: chat rows,
    labelled useful or noisy.
    """
    from flows.exporting.simulation_data import export_simulation
    from pipeline.exporting.simulator_tuning import SimulatorExportSettings

    settings = SimulatorExportSettings(informed, validation, balance)
    step, rows = export_simulation(RunFolder(folder), out, settings)
    console = Console()
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in sorted(step.rejected.items()))
    console.print(
        f"{step.entered:,} searches: {step.passed:,} examples; left out: {reasons or 'none'}",
        highlight=False,
        soft_wrap=True,
    )
    for key, count in sorted(rows.items()):
        console.print(f"  {key}: {count:,}", highlight=False)
    if not step.passed:
        console.print("[yellow]nothing is left: use --all to keep examples without a counterpart[/]")
    console.print(f"{out}", highlight=False, soft_wrap=True)
