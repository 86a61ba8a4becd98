"""Command `rampforge review`: reviews of a run's attempts as a labelled set for `rampforge calibrate`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pipeline.errors import ConfigError
from schemas.labelled_answers import LabelledAnswer

review_app = typer.Typer(no_args_is_help=True, help="Use the reviews made in `rampforge inspect --web`.")


@review_app.command()
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of the run, e.g. outputs/demo.")],
    out: Annotated[Path, typer.Option(help="File to write, JSON Lines.")] = Path("reviewed.jsonl"),
) -> None:
    """Write reviewed answers as labelled answers for `rampforge calibrate --pairs FILE`.

    Each answer of an attempt marked good is labelled correct. Of one marked bad, the only answer is labelled incorrect,
    or those that the note names: "mask 2: the wrong year".
    """
    from pipeline.storage.files import write_atomically

    labelled = list(read_labels(run))
    if not labelled:
        raise ConfigError(f"{run}: no reviewed answers", f"rampforge inspect --web {run}, and mark attempts")
    write_atomically(out, "".join(f"{one.model_dump_json()}\n" for one in labelled).encode())
    Console(stderr=True).print(f"{len(labelled)} labelled answers in {out}", soft_wrap=True, highlight=False)


def read_labels(run: Path) -> Iterator[LabelledAnswer]:
    """Return the answers labelled by the reviews of a run, in order. Raises InspectError."""
    from pipeline.inspecting.attempts_table import open_attempts
    from pipeline.inspecting.reading import read_attempt
    from pipeline.inspecting.reviews import ReviewStore, label_answers

    reviews = ReviewStore(run).read()
    if not reviews:
        return
    database, _ = open_attempts(run)
    for review in reviews.values():
        yield from label_answers(review, read_attempt(database, review.trajectory_id))
