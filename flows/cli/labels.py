"""Command `rampforge labels`: masks that people label, without a browser, and their labels as a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.labelling.queue import QueuedMask, Select

labels_app = typer.Typer(
    no_args_is_help=True, help="Label a run's masks for `rampforge audit --labels`; in a browser: `inspect --web`."
)
console = Console(stderr=True)

Run = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of the run, e.g. outputs/demo.")]


@labels_app.command()
def sample(
    run: Run,
    out: Annotated[Path, typer.Option(help="File to write, JSON Lines.")] = Path("queue.jsonl"),
    n: Annotated[int, typer.Option("--n", min=1, max=10_000, help="Number of masks.")] = 100,
    seed: Annotated[int, typer.Option(help="Seed of the sample, the same for every rater.")] = 0,
) -> None:
    """Write masks to read and label: whole tasks drawn at random, `[?]` for the mask, its answer last.

    A rater writes the codes as JSON Lines, {"mask": ..., "needs": "search", "fillings": "one", "unit": "good",
    "aliases": "ok", "alias_codes": {ALIAS: "ok"}}, and adds them with `rampforge labels add`.
    """
    from pipeline.labelling.queue import list_masks, read_masks
    from pipeline.storage.files import write_atomically

    with open_tasks(run) as select:
        rows = [_dump(queued) for queued in read_masks(select, list_masks(select, seed, n))]
    write_atomically(out, "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode())
    console.print(f"{len(rows)} masks in {out}", soft_wrap=True, highlight=False)


@labels_app.command()
def add(
    run: Run,
    codes: Annotated[Path, typer.Argument(metavar="CODES", exists=True, dir_okay=False, help="Codes, JSON Lines.")],
    rater: Annotated[str, typer.Option(help="Name of the rater.")],
) -> None:
    """Add a rater's codes to the run, all lines or none; a later label of a mask replaces an earlier one."""
    from pipeline.labelling.codes import read_codes
    from pipeline.labelling.store import LabelStore

    at = datetime.now(UTC).isoformat(timespec="seconds")
    with open_tasks(run) as select:
        labels = read_codes(codes, select, rater, at)
    replaced = LabelStore(run).save(labels)
    console.print(
        f"{len(labels)} labels of {labels[0].rater} in {LabelStore(run).path}, {replaced} of them anew", soft_wrap=True
    )


@labels_app.command()
def export(
    run: Run,
    out: Annotated[Path, typer.Option(help="File to write, JSON Lines.")] = Path("labels.jsonl"),
    text: Annotated[bool, typer.Option("--text", help="With the passages, of two raters at most.")] = False,
    rater: Annotated[list[str] | None, typer.Option(help="Only of this rater; may be repeated.")] = None,
) -> None:
    """Write the labels for `rampforge audit --labels FILE`: by page, offsets and codes, or with the passages' text."""
    from pipeline.labelling.store import LabelStore, dump_label, select_raters
    from pipeline.storage.files import write_atomically

    labels = select_raters(LabelStore(run).read().values(), rater or ())
    if not labels:
        raise ConfigError(f"{run}: no labels", f"rampforge inspect --web {run}, or rampforge labels add")
    if text:
        from pipeline.labelling.labelled_passages import join_labels
        from pipeline.labelling.queue import read_passages

        with open_tasks(run) as select:
            joined = join_labels(labels, lambda ids: read_passages(select, ids))
        lines = [one.model_dump_json(exclude_defaults=True) for one in joined.passages]
        lost = joined.lost
    else:
        lines, lost = [dump_label(one) for one in labels], 0
    write_atomically(out, "".join(f"{line}\n" for line in lines).encode())
    if lost:
        console.print(f"{lost} labels left out: the run no longer holds their passages", soft_wrap=True)
    console.print(f"{len(lines)} lines in {out}", soft_wrap=True, highlight=False)


@contextmanager
def open_tasks(run: Path) -> Iterator[Select]:
    """Open the datasets of a run that has tasks. Raises RampforgeError, also while they are being made."""
    from pipeline.inspecting.locations import open_location
    from pipeline.inspecting.readonly_database import ReadonlyDatabase
    from pipeline.inspecting.shard_listing import list_shards
    from pipeline.storage.run_folder import RunFolder
    from schemas.config import StageName
    from schemas.tasks import MaskTask

    listing, folder = list_shards(open_location(run)), RunFolder(run)
    here = MaskTask.dataset in listing.datasets
    if not here or folder.find_start(StageName.TASKS):  # of half the tasks another sample would be drawn
        folder.manifest(StageName.TASKS)
    if not here:
        raise ConfigError(f"{run} has no tasks", f"rampforge report {run} shows what was rejected, and why")
    database = ReadonlyDatabase(listing)
    try:
        yield database.select_rows
    finally:
        database.close()


def _dump(queued: QueuedMask) -> dict[str, Any]:
    task, span = queued.task, queued.span
    return {
        "mask": queued.name,
        "lang": task.lang,
        "title": task.title,
        "section": task.section,
        "text": queued.text,
        "answer": span.text,
        "aliases": span.aliases,
    }
