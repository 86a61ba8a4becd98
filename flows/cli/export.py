"""Command `rampforge export`: training files of a judged run."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from flows.cli.locations import fetch_whole_run
from flows.cli.model_options import take_options
from flows.configuration.cache import cache_folder
from flows.configuration.environments import environments_folder, read_recipe
from pipeline.decontamination.overlap import STAGE as DECONTAMINATION
from pipeline.serving.environments import find_environment, locate_python
from pipeline.storage.remote.open_run import join_location
from pipeline.storage.remote.transfer import put_when_done
from pipeline.storage.run_folder import RunFolder
from schemas.exports import ExportSettings, Trainer
from schemas.locations import is_url
from schemas.renderings import RenderingName

if TYPE_CHECKING:
    from flows.exporting.dataset import Exported
    from pipeline.exporting.spec import Exporter, Written

Rendering = Annotated[
    RenderingName | None,
    typer.Option(metavar="FORMAT", help=f"Format: {', '.join(RenderingName)}; default: that of the trainer."),
]
Tokenizer = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL", help="Model whose tokenizer counts tokens; for TRL and axolotl, write tokens and labels."
    ),
]
Model = Annotated[
    str | None, typer.Option(metavar="NAME", help="Model to be trained: fills in the trainer's own configuration.")
]
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


FOLDER = "FOLDER"
"""What stands for a folder of this machine, where an export is on a store."""
OPTIONS = {
    name: name
    for name in (
        *(
            "where",
            "reviewed",
            "shortcuts",
            "split",
            "order",
            "max_per_page",
            "max_per_kind",
            "max_tokens",
            "tasks",
            "max_closed_book",
        ),
        *("learnable", "train_observations", "single_queries", "seed"),
    )
}
"""Options that are settings of an export."""


@take_options(ExportSettings, OPTIONS)
def export(
    folder: Annotated[str, typer.Argument(metavar="RUN", help="Folder or URL of a judged run.")],
    to: Annotated[Trainer, typer.Option(metavar="TRAINER", help=f"Trainer to write files for: {', '.join(Trainer)}.")],
    rendering: Rendering = None,
    tokenizer: Tokenizer = None,
    model: Model = None,
    out: Annotated[str | None, typer.Option(help="Folder or URL; default: RUN/exports/TRAINER.")] = None,
    decontaminate: Benchmarks = None,
    decontaminate_run: DecontaminateRun = True,
    push: Push = None,
    private: Private = True,
    dry_run: DryRun = True,
    **options: Any,
) -> None:
    """Write training files, the trainer's own configuration, a dataset card, and the rejects with their reasons."""
    from flows.exporting.hub import upload_folder
    from flows.exporting.job import choose_settings, export_run

    settings = choose_settings(to, rendering, tokenizer, **options)
    target, console = out or join_location(folder, f"exports/{to}"), Console()
    with put_when_done(target, cache_folder()) as place:
        run = RunFolder(fetch_whole_run(folder))
        done = export_run(run, place, settings, tokenizer, decontaminate or [], decontaminate_run, model)
        print_export(done, settings, console, folder, target)
        if push:
            upload_folder(done.folder, push, private=private, dry_run=dry_run, console=console)


def print_export(done: Exported, settings: ExportSettings, console: Console, run: str, target: str) -> None:
    """Print what was written, where, what was left out, and how to train on it."""
    from pipeline.exporting.registry import EXPORTERS

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
    exporter = EXPORTERS[settings.trainer]
    lines = [*list_next_commands(exporter, done.written, run, target)]
    if not lines:
        return
    lines += filter(None, (exporter.describe_model(done.written), *exporter.describe_search(done.written)))
    if is_url(target):
        lines.append(f"{FOLDER} stands for a copy of {target} on this machine.")
    console.print("next:", highlight=False)
    for line in lines:
        console.print(f"  {line}", highlight=False, soft_wrap=True, markup=False)


def list_next_commands(exporter: Exporter, written: Written, run: str, target: str) -> Iterator[str]:
    """Return the commands that train on an export, first the one that builds the trainer's environment, if it is
    missing."""
    programs = ""
    if exporter.environment:
        recipe, root = read_recipe(exporter.environment), environments_folder()
        if find_environment(recipe, root) is None:
            yield f"rampforge env create {recipe.name}"
        programs = shlex.quote(str(locate_python(root / recipe.name).parent))
    folder = FOLDER if is_url(target) else shlex.quote(target)
    yield from exporter.list_commands(written, shlex.quote(run), folder, programs)
