"""`rampforge export`: the files of a trainer from a judged run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from pipeline.storage.run_folder import RunFolder
from schemas.exports import ExportSettings, RowOrder, Trainer, Wanted
from schemas.renderings import RenderingName

if TYPE_CHECKING:
    from flows.dataset_export import Exported


def export(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, judged.")],
    to: Annotated[Trainer, typer.Option(help="The trainer that is to read it.")],
    rendering: Annotated[RenderingName | None, typer.Option(help="Format; default: the trainer's usual one.")] = None,
    tokenizer: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Count tokens with it; TRL and axolotl get tokens and labels.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder; default: RUN/exports/TRAINER.")] = None,
    split: Annotated[float, typer.Option(min=0, max=0.5, help="Share of the pages set apart for validation.")] = 0.02,
    order: Annotated[
        RowOrder, typer.Option(help="Shuffled, or few masks before many and easy before hard.")
    ] = RowOrder.MIXED,
    max_per_page: Annotated[int | None, typer.Option(min=1, help="Rows from one page at most.")] = None,
    max_per_kind: Annotated[int | None, typer.Option(min=1, help="Rows with a mask of one kind at most.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Leave out what is longer (with --tokenizer).")] = None,
    where: Annotated[
        Wanted, typer.Option(help="Prompts from solved tasks, or from all; demonstrations are always accepted ones.")
    ] = Wanted.ACCEPTED,
    train_observations: Annotated[
        bool, typer.Option("--train-observations", help="Loss on search results too, on purpose (with --tokenizer).")
    ] = False,
    seed: Annotated[int, typer.Option(help="Decides the shuffle.")] = 0,
    push: Annotated[str | None, typer.Option(metavar="OWNER/NAME", help="A dataset on the Hub to upload to.")] = None,
    private: Annotated[bool, typer.Option("--private/--public", help="What the dataset becomes on the Hub.")] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run/--no-dry-run", help="Only say what --push would upload.")] = True,
) -> None:
    """Write what a trainer reads: its files, its own configuration, a dataset card, and what was left out and why."""
    from flows.dataset_export import export_dataset
    from flows.hub_upload import upload_folder
    from flows.tokenizers import open_masker
    from pipeline.exporting.exporters import EXPORTERS

    exporter = EXPORTERS[to]
    settings = ExportSettings(
        trainer=to,
        rendering=exporter.choose_rendering(rendering, tokenizer is not None),
        tokenizer=None if tokenizer is None else Path(tokenizer).name if Path(tokenizer).is_dir() else tokenizer,
        where=where,
        order=order,
        split=split,
        max_per_page=max_per_page,
        max_per_kind=max_per_kind,
        max_tokens=max_tokens,
        train_observations=train_observations,
        seed=seed,
    )
    exporter.check(settings)
    masker = open_masker(tokenizer, train_observations) if tokenizer else None
    done = export_dataset(RunFolder(folder), out or folder / "exports" / to, settings, exporter, masker)
    console = Console()
    print_export(done, settings, console)
    if push:
        upload_folder(done.folder, push, private=private, dry_run=dry_run, console=console)


def print_export(done: Exported, settings: ExportSettings, console: Console) -> None:
    """Say what was written and what was left out."""
    title = f"{settings.trainer}, {settings.rendering}: in = out + left out"
    table = Table("", "trajectories", "rows", "left out", title=title)
    for step in done.funnel:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in step.rejected.items())
        table.add_row(step.stage, f"{step.entered:,}", f"{step.passed:,}", reasons)
    console.print(table)
    for file, rows in done.files.items():
        console.print(f"  {file}: {rows:,} rows", highlight=False, soft_wrap=True)
    console.print(f"{done.folder}: {', '.join((*done.configs, 'README.md'))}", highlight=False, soft_wrap=True)
    if settings.split and not any("validation" in file for file in done.files):
        console.print("[yellow]no page fell into validation: raise --split[/]")
