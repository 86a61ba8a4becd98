"""Command `rampforge audit`: what a corpus gives away, and how its answers were found."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.errors import ConfigError
from pipeline.inspecting.text_tables import TextTable
from schemas.audit import Measure

if TYPE_CHECKING:
    from pipeline.auditing.labels import LabelScore


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
            help="Also compare the run's filters and difficulties with masks that people labelled (JSON lines).",
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
    score = _compare(path, labels) if labels is not None else None
    if as_json:
        value = {"measures": [_dump(one) for one in measures], "labels": _dump_score(score) if score else None}
        sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=1) + "\n")
    else:
        _print(measures, score)


def _measure(path: str) -> tuple[Measure, ...]:
    from pipeline.auditing.audit import audit_corpus
    from pipeline.inspecting.locations import open_location
    from pipeline.inspecting.readonly_database import ReadonlyDatabase
    from pipeline.inspecting.shard_listing import list_shards

    listing = list_shards(open_location(path))
    database = ReadonlyDatabase(listing)
    try:
        measures = audit_corpus(lambda sql: database.query(sql, seconds=None).rows, listing.datasets)
    finally:
        database.close()
    if not measures:
        raise ConfigError(f"{path} holds neither tasks nor judged trajectories", "audit a run, or its tasks")
    return measures


def _compare(path: str, labels: Path) -> LabelScore:
    from flows.configuration.cache import cache_folder
    from flows.configuration.run_context import RunContext
    from flows.stages.span_resources import open_assessor
    from pipeline.auditing.labels import read_labels, score_labels
    from pipeline.storage.remote.open_run import open_run
    from schemas.config import RunConfig

    run = open_run(path, cache_folder())
    context = RunContext(run, RunConfig.model_validate(run.record().config), cache_folder())
    return score_labels(tuple(read_labels(labels)), open_assessor(context).assess)


def _dump(measure: Measure) -> dict[str, Any]:
    return measure.model_dump() | {"share": measure.share, "interval": measure.interval}


def _dump_score(score: LabelScore) -> dict[str, Any]:
    shares = {one.name: one.share for one in score.measures}
    intervals = {one.name: one.interval for one in score.measures}
    return shares | {"auc": score.auc, "auc_names": score.auc_names, "intervals": intervals}


def _print(measures: tuple[Measure, ...], score: LabelScore | None) -> None:
    from flows.cli.inspect import print_grids

    rows = [_write_row(one) for one in (*measures, *(score.measures if score else ()))]
    if score is not None:
        for name, auc, of in (("auc", score.auc, "masks"), ("auc_names", score.auc_names, "names and terms")):
            text = "–" if auc is None else f"{auc:.3f}"
            rows.append((name, "labels", text, "", "", f"AUC of the difficulty for 'needs a search', {of}"))
    columns = ("measure", "over", "share", "95% interval", "count", "what is counted")
    print_grids([TextTable("audit", columns, tuple(rows), frozenset({2, 3, 4}))])


def _write_row(measure: Measure) -> tuple[str, ...]:
    low, high = measure.interval or (0.0, 1.0)
    share, interval = f"{measure.share or 0:.1%}", f"{low:.1%} to {high:.1%}"
    return measure.name, measure.part, share, interval, f"{measure.count:,} of {measure.of:,}", measure.about
