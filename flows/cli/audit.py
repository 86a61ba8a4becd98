"""Command `rampforge audit`: what a corpus gives away, and how its answers were found."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from flows.cli.label_tables import list_score_tables
from pipeline.errors import ConfigError, StorageError
from pipeline.inspecting.text_tables import TextTable
from schemas.audit import Measure

if TYPE_CHECKING:
    from pipeline.auditing.labels import LabelScore
    from pipeline.inspecting.locations import DataLocation
    from pipeline.inspecting.readonly_database import ReadonlyDatabase


def audit(
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="Folder of a run or a dataset, a shard, or an s3:// URL of one.")
    ],
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="Also compare the run's filters and difficulties with masks that people labelled (JSON lines, with "
            "their passages or, for the run's own, without).",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Measure what the masks give away and how the answers were found.

    Shares with their 95% intervals: masks that the task itself gives away, shortcuts (attempts that were shown the
    source or a copy of it), yield by what was hidden, turns that build on earlier ones, support of the answers, queries
    copied from the task, variety of the agents' own words.
    """
    measures = _measure(path)
    score, lost = _compare(path, labels) if labels is not None else (None, 0)
    if lost:
        about = f"{lost} labels left out: the run does not hold their passages as they were read"
        Console(stderr=True).print(about, soft_wrap=True, highlight=False)
    if as_json:
        value = {"measures": [_dump(one) for one in measures], "labels": _dump_score(score, lost) if score else None}
        sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=1) + "\n")
    else:
        _print(measures, score)


@contextmanager
def _open(path: str) -> Iterator[ReadonlyDatabase]:
    from pipeline.inspecting.locations import open_location
    from pipeline.inspecting.readonly_database import ReadonlyDatabase
    from pipeline.inspecting.shard_listing import list_shards

    database = ReadonlyDatabase(list_shards(open_location(path)))
    try:
        yield database
    finally:
        database.close()


def _measure(path: str) -> tuple[Measure, ...]:
    from pipeline.auditing.audit import audit_corpus
    from pipeline.inspecting.attempts_table import check_columns

    with _open(path) as database:
        check_columns(database)
        measures = audit_corpus(lambda sql: database.query(sql, seconds=None).rows, database.listing.datasets)
        unfinished = _find_unfinished(database.listing.place)
    if unfinished and measures:
        line = f"measured is what is there: {unfinished.what}; {unfinished.fix}"
        Console(stderr=True).print(line, soft_wrap=True, highlight=False, markup=False)
    if not measures:
        raise unfinished or ConfigError(
            f"{path} holds neither tasks nor judged trajectories", "audit a run, or its tasks"
        )
    return measures


def _find_unfinished(place: DataLocation) -> StorageError | None:
    """Return what is to say of a run that is not finished; None for other folders and files."""
    from flows.configuration.cache import cache_folder
    from pipeline.storage.remote.open_run import open_run
    from schemas.config import StageName

    run = open_run(place.address, cache_folder()) if place.is_run() else None
    try:
        if run and run.stages():
            run.manifest(StageName.JUDGEMENTS)
    except StorageError as error:
        return error
    return None


def _compare(path: str, labels: Path) -> tuple[LabelScore, int]:
    """Return the agreement with a file of labels, and the number of those whose passages the run does not hold."""
    from flows.configuration.cache import cache_folder
    from flows.configuration.run_context import RunContext
    from flows.stages.span_resources import open_assessor
    from pipeline.auditing.labels import score_labels
    from pipeline.labelling.labelled_passages import read_labels
    from pipeline.labelling.queue import read_passages
    from pipeline.storage.remote.open_run import open_run
    from schemas.config import RunConfig

    run = open_run(path, cache_folder())
    context = RunContext(run, RunConfig.model_validate(run.record().config), cache_folder())
    with _open(path) as database:
        joined = read_labels(labels, lambda ids: read_passages(database.select_rows, ids))
    return score_labels(joined.passages, open_assessor(context).assess), joined.lost


def _dump(measure: Measure) -> dict[str, Any]:
    return measure.model_dump() | {"share": measure.share, "interval": measure.interval}


def _dump_score(score: LabelScore, lost: int) -> dict[str, Any]:
    shares = {one.name: one.share for one in score.measures}
    areas = {"auc": score.auc, "auc_names": score.auc_names, "auc_entities": score.auc_entities}
    more = {
        "intervals": {one.name: one.interval for one in score.measures},
        "held_out": asdict(score.held_out) if score.held_out else None,
        "agreement": [asdict(one) for one in score.agreement],
        "lost": lost,
    }
    return shares | areas | more


def _print(measures: tuple[Measure, ...], score: LabelScore | None) -> None:
    from flows.cli.inspect import print_grids

    scores = list_score_tables(score) if score else ()
    print_grids([*list_measure_tables([*measures, *(score.measures if score else ())]), *scores])


def list_measure_tables(measures: Sequence[Measure]) -> list[TextTable]:
    """Return measures as a table of numbers, in 80 columns, and one of what each of them counts."""
    columns, whole = ("measure", "over", "share", "95% interval", "count"), frozenset({0})
    counted = tuple({one.name: (one.name, one.about) for one in measures}.values())
    return [
        TextTable("audit", columns, tuple(map(_write_row, measures)), frozenset({2, 3, 4}), whole),
        TextTable("what is counted", ("measure", "share of"), counted, whole=whole),
    ]


def _write_row(measure: Measure) -> tuple[str, ...]:
    share, interval = "–", ""
    if measure.share is not None and measure.interval is not None:
        low, high = measure.interval
        share, interval = f"{measure.share:.1%}", f"{100 * low:.1f} to {high:.1%}"
    return measure.name, measure.part, share, interval, f"{measure.count:,} of {measure.of:,}"
