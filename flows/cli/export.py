"""`rampforge export`: the files of a trainer from a judged run."""

from __future__ import annotations

from pathlib import Path
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
    str | None, typer.Option(metavar="MODEL", help="Count tokens with it; TRL and axolotl get tokens and labels.")
]
Where = Annotated[
    TaskSelection, typer.Option(help="Prompts from solved tasks, or from all; demonstrations are always accepted ones.")
]
Observations = Annotated[
    bool, typer.Option("--train-observations", help="Loss on search results too, on purpose (with --tokenizer).")
]
Memorised = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Leave out tasks of whose closed-book attempts more were right than this share."),
]
Learnable = Annotated[bool, typer.Option("--learnable", help="Prompts only from tasks that were solved sometimes.")]
Benchmarks = Annotated[
    list[str] | None,
    typer.Option("--decontaminate", metavar="FILE", help="Leave out what overlaps these questions, too."),
]
Screened = Annotated[
    bool, typer.Option("--screen/--no-screen", help="Leave out what overlaps the benchmarks that the run names.")
]

Push = Annotated[str | None, typer.Option(metavar="OWNER/NAME", help="A dataset on the Hub to upload to.")]
Private = Annotated[bool, typer.Option("--private/--public", help="What the dataset becomes on the Hub.")]
DryRun = Annotated[bool, typer.Option("--dry-run/--no-dry-run", help="Only say what --push would upload.")]


def export(
    folder: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, judged, or its URL.")],
    to: Annotated[Trainer, typer.Option(help="The trainer that is to read it.")],
    rendering: Annotated[RenderingName | None, typer.Option(help="Format; default: the trainer's usual one.")] = None,
    tokenizer: Tokenizer = None,
    out: Annotated[str | None, typer.Option(help="Folder or URL; default: RUN/exports/TRAINER.")] = None,
    split: Annotated[float, typer.Option(min=0, max=0.5, help="Share of the pages set apart for validation.")] = 0.02,
    order: Annotated[
        RowOrder, typer.Option(help="Shuffled, or few masks before many and easy before hard.")
    ] = RowOrder.MIXED,
    max_per_page: Annotated[int | None, typer.Option(min=1, help="Rows from one page at most.")] = None,
    max_per_kind: Annotated[int | None, typer.Option(min=1, help="Rows with a mask of one kind at most.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Leave out what is longer (with --tokenizer).")] = None,
    where: Where = TaskSelection.ACCEPTED,
    memorised: Memorised = None,
    learnable: Learnable = False,
    train_observations: Observations = False,
    decontaminate: Benchmarks = None,
    screened: Screened = True,
    seed: Annotated[int, typer.Option(help="Decides the shuffle.")] = 0,
    push: Push = None,
    private: Private = True,
    dry_run: DryRun = True,
) -> None:
    """Write what a trainer reads: its files, its own configuration, a dataset card, and what was left out and why."""
    from flows.exporting.dataset import export_dataset
    from flows.exporting.decontamination import open_run_screen
    from flows.exporting.hub import upload_folder
    from flows.models.tokenizers import open_masker
    from pipeline.exporting.registry import EXPORTERS

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
        memorised=memorised,
        learnable=learnable,
        train_observations=train_observations,
        seed=seed,
    )
    exporter.check(settings)
    masker = open_masker(tokenizer, train_observations) if tokenizer else None
    target, console = out or join_location(folder, f"exports/{to}"), Console()
    with put_when_done(target, cache_folder()) as place:
        run = RunFolder(fetch_whole_run(folder))
        screen = open_run_screen(run, cache_folder(), decontaminate or []) if screened else None
        done = export_dataset(run, place, settings, exporter, masker, screen)
        print_export(done, settings, console, target)
        if push:
            upload_folder(done.folder, push, private=private, dry_run=dry_run, console=console)


def print_export(done: Exported, settings: ExportSettings, console: Console, target: str) -> None:
    """Say what was written, where to, and what was left out."""
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
        console.print("[yellow]checked against no benchmark: --decontaminate FILE names its questions[/]")
    if settings.split and not any("validation" in file for file in done.files):
        console.print("[yellow]no page fell into validation: raise --split[/]")
