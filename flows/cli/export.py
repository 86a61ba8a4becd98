"""Command `rampforge export`: training files of a judged run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from flows.cli.locations import fetch_whole_run
from flows.configuration.cache import cache_folder
from pipeline.decontamination.filtering import STAGE as DECONTAMINATION
from pipeline.storage.remote.open_run import join_location
from pipeline.storage.remote.transfer import put_when_done
from pipeline.storage.run_folder import RunFolder
from schemas.exports import ExportSettings, RowOrder, TaskSelection, Trainer
from schemas.renderings import RenderingName

if TYPE_CHECKING:
    from flows.exporting.dataset import Exported

Tokenizer = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL", help="Model whose tokenizer counts tokens; for TRL and axolotl, write tokens and labels."
    ),
]
Tasks = Annotated[
    TaskSelection,
    typer.Option(
        help="Tasks that become prompts: solved ones, or all. Demonstrations are always accepted trajectories."
    ),
]
Observations = Annotated[
    bool, typer.Option("--train-observations", help="Also compute the loss on search results (with --tokenizer).")
]
MaxClosedBook = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Maximum share of correct closed-book attempts; leave out tasks above it."),
]
Learnable = Annotated[bool, typer.Option("--learnable", help="Make prompts only of tasks that are solved sometimes.")]
Benchmarks = Annotated[
    list[str] | None,
    typer.Option("--decontaminate", metavar="FILE", help="Also leave out examples that overlap these questions."),
]
DecontaminateRun = Annotated[
    bool,
    typer.Option(
        "--decontaminate-run/--no-decontaminate-run",
        help="Leave out examples that overlap the benchmarks in the run's configuration.",
    ),
]

Push = Annotated[str | None, typer.Option(metavar="OWNER/NAME", help="Dataset on the Hub to upload to.")]
Private = Annotated[bool, typer.Option("--private/--public", help="Visibility of the dataset on the Hub.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run/--no-dry-run", help="Print what --push would upload, without uploading.")
]


def export(
    folder: Annotated[str, typer.Argument(metavar="RUN", help="Folder or URL of a judged run.")],
    to: Annotated[Trainer, typer.Option(help="Trainer to write files for.")],
    rendering: Annotated[RenderingName | None, typer.Option(help="Format; default: that of the trainer.")] = None,
    tokenizer: Tokenizer = None,
    out: Annotated[str | None, typer.Option(help="Folder or URL; default: RUN/exports/TRAINER.")] = None,
    split: Annotated[float, typer.Option(min=0, max=0.5, help="Share of the pages held out for validation.")] = 0.02,
    order: Annotated[
        RowOrder, typer.Option(help="Order of the rows: shuffled, or from few masks to many and from easy to hard.")
    ] = RowOrder.MIXED,
    max_per_page: Annotated[int | None, typer.Option(min=1, help="Maximum rows from one page.")] = None,
    max_per_kind: Annotated[int | None, typer.Option(min=1, help="Maximum rows with a mask of one kind.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Leave out longer rows (with --tokenizer).")] = None,
    tasks: Tasks = TaskSelection.ACCEPTED,
    max_closed_book: MaxClosedBook = None,
    learnable: Learnable = False,
    train_observations: Observations = False,
    decontaminate: Benchmarks = None,
    decontaminate_run: DecontaminateRun = True,
    seed: Annotated[int, typer.Option(help="Seed of the shuffle.")] = 0,
    push: Push = None,
    private: Private = True,
    dry_run: DryRun = True,
) -> None:
    """Write training files, the trainer's own configuration, a dataset card, and the rejects with their reasons."""
    from flows.exporting.hub import upload_folder
    from flows.exporting.job import choose_settings, export_run

    settings = choose_settings(
        to,
        rendering,
        tokenizer,
        tasks=tasks,
        order=order,
        split=split,
        max_per_page=max_per_page,
        max_per_kind=max_per_kind,
        max_tokens=max_tokens,
        max_closed_book=max_closed_book,
        learnable=learnable,
        train_observations=train_observations,
        seed=seed,
    )
    target, console = out or join_location(folder, f"exports/{to}"), Console()
    with put_when_done(target, cache_folder()) as place:
        run = RunFolder(fetch_whole_run(folder))
        done = export_run(run, place, settings, tokenizer, decontaminate or [], decontaminate_run)
        print_export(done, settings, console, target)
        if push:
            upload_folder(done.folder, push, private=private, dry_run=dry_run, console=console)


def print_export(done: Exported, settings: ExportSettings, console: Console, target: str) -> None:
    """Print what was written, where, and what was left out."""
    title = f"{settings.trainer}, {settings.rendering}: in = out + left out"
    table = Table("", "trajectories", "rows", "left out", title=title)
    for step in done.funnel:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in step.rejected.items())
        table.add_row(step.stage, f"{step.entered:,}", f"{step.passed:,}", reasons)
    console.print(table)
    for file, rows in done.files.items():
        console.print(f"  {file}: {rows:,} rows", highlight=False, soft_wrap=True)
    console.print(f"{target}: {', '.join((*done.configs, 'README.md'))}", highlight=False, soft_wrap=True)
    if not any(step.stage == DECONTAMINATION for step in done.funnel):
        console.print("[yellow]not decontaminated: give the questions of a benchmark with --decontaminate FILE[/]")
    if settings.split and not any("validation" in file for file in done.files):
        console.print("[yellow]the validation split is empty: raise --split[/]")
