"""Command `rampforge show-mask`: coloured view of the tokens that are trained on."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.text import Text

from flows.cli.locations import fetch_data
from pipeline.errors import ConfigError, RampforgeError
from pipeline.exporting.mask_view import MaskPage, build_page, read_row, view_row
from pipeline.rendering.token_masks import MaskError, TokenMasker, TokenRow, find_fault
from pipeline.storage.files import write_atomically
from pipeline.storage.run_folder import RunFolder
from schemas.exports import TrainingExample
from schemas.policies import STREAMED
from schemas.renderings import RenderingName, SegmentKind

COLOURS = {
    SegmentKind.THINK: "black on cyan",
    SegmentKind.QUERY: "black on magenta",
    SegmentKind.ANSWER: "black on green",
    SegmentKind.OBSERVATION: "black on yellow",
    SegmentKind.PROMPT: "black on red",
}
"""Colours of trained tokens, limited to those that every terminal has."""


class MaskFaultError(RampforgeError):
    """Row that must not be trained on."""


def show_mask(
    place: Annotated[
        Path,
        typer.Argument(
            metavar="RUN_OR_FILE", help="Judged run, or Parquet file of tokens; a path or a URL.", parser=fetch_data
        ),
    ],
    tokenizer: Annotated[
        str, typer.Option(metavar="MODEL", help="Model to be trained: an asset, a folder or a hub name.")
    ],
    rendering: Annotated[
        RenderingName, typer.Option(help="Format of the conversations, for a run.")
    ] = RenderingName.SEARCH_R1,
    row: Annotated[str | None, typer.Option(help="Id of a trajectory; default: the first rows.")] = None,
    rows: Annotated[int, typer.Option(min=1, help="Number of rows.")] = 1,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write an HTML page.")] = None,
    train_observations: Annotated[
        bool, typer.Option("--train-observations", help="Also compute the loss on search results.")
    ] = False,
) -> None:
    """Colour the tokens that carry loss. Exit code 1 for a row with loss on search results, or without any loss."""
    from flows.models.tokenizers import open_masker

    record = RunFolder(place).find_record() if place.is_dir() else None
    masker = open_masker(tokenizer, train_observations, record.day if record else None)
    found = read_run(place, row, rendering, masker) if place.is_dir() else read_file(place, row, masker)
    views = []
    console = Console()
    for name, tokens in islice(found, rows):
        views.append(view_row(name, tokens, masker.tokenizer))
        print_view(views[-1], console)
    if not views:
        raise ConfigError(
            f"{place} has no row {row or 'to show'}", f"rampforge report {place} shows the accepted trajectories"
        )
    if html:
        title = f"{place.name}: {rendering if place.is_dir() else 'exported tokens'}, {tokenizer}"
        write_atomically(html, build_page(views, title).encode())
        console.print(f"{html}", highlight=False, soft_wrap=True)


def read_run(
    folder: Path, row: str | None, rendering: RenderingName, masker: TokenMasker
) -> Iterator[tuple[str, TokenRow]]:
    """Return the accepted trajectories of a run as tokens. Raises MaskFaultError for one that must
    not be trained on.
    """
    from flows.exporting.read_examples import open_documents, read_examples
    from pipeline.exporting.samples import render_example

    run = RunFolder(folder)
    for example in read_examples(run, find=open_documents(run) if rendering in STREAMED else None):
        if example.trajectory_id == row and example.fault:
            raise MaskFaultError(
                f"{row} is not a demonstration: {example.fault} {example.fault_detail}", "use another row"
            )
        if example.fault or row not in (None, example.trajectory_id):
            continue
        (tokens,) = masker.try_encode([render_example(example, rendering)])
        if isinstance(tokens, MaskError):
            raise MaskFaultError(f"{example.trajectory_id}: {tokens}", "use another row or another rendering")
        yield name_row(example), tokens


def read_file(path: Path, row: str | None, masker: TokenMasker) -> Iterator[tuple[str, TokenRow]]:
    """Return exported rows as seen by the trainer. Raises MaskFaultError, ConfigError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise ConfigError(
            f"{path}: neither a run nor a Parquet file ({error})", "name a run or a Parquet file"
        ) from error
    columns = ["id", "input_ids", "labels", "token_spans"]
    if missing := sorted(set(columns) - set(file.schema_arrow.names)):
        raise ConfigError(
            f"{path} has no column {missing[0]}: it does not contain tokens",
            "show the run itself, or export with --to trl --tokenizer MODEL",
        )
    for batch in file.iter_batches(64, columns=columns):
        for values in batch.to_pylist():
            if row not in (None, values["id"]):
                continue
            try:
                tokens = read_row(values["input_ids"], values["labels"], orjson.loads(values["token_spans"]))
            except MaskError as error:
                raise MaskFaultError(f"{values['id']}: {error}", "export again") from error
            if fault := find_fault(tokens.runs, masker.train_on):
                raise MaskFaultError(
                    f"{values['id']}: {fault}", "export again, or use --train-observations if that is intended"
                )
            yield values["id"], tokens


def name_row(example: TrainingExample) -> str:
    """Return the title of a row."""
    return f"{example.trajectory_id}: {example.title}"


def print_view(view: MaskPage, console: Console) -> None:
    """Print a row in colours, with its legend and counts."""
    console.print(Text(view.name, style="bold"))
    text = Text()
    for number, cell in enumerate(view.cells):
        edge = " underline" if number % 2 else ""  # to distinguish adjacent tokens
        text.append(cell.text, COLOURS[cell.kind] + edge if cell.trained else "dim")
    console.print(text, soft_wrap=True)
    legend = Text()
    for count in view.counts:
        style = COLOURS[count.kind] if count.trained else "dim"
        legend.append(f" {count.kind} ", style)
        legend.append(f" {count.trained:,} trained, {count.untrained:,} not   ")
    console.print(legend)
    console.print(f"{view.trained:,} of {view.tokens:,} tokens carry loss", highlight=False)
    if view.whole is not None:
        console.print(
            f"tokenising the whole text differs from token {view.whole:,} on: train on these tokens, not on the text",
            highlight=False,
        )
