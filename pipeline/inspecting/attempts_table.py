"""The table `attempts`: one narrow row for each trajectory, joined with its task and its judgement.

It is filtered, sorted and paged. Up to `RESIDENT` rows it is in memory, some 200 bytes a row; beyond that it is a view
over the shards. Each row has its position in the shards, so that one trajectory is read without a search. Of nested
columns only the leaves used are read.
"""

# ruff: noqa: S608  # SQL consists of constants; outside text is passed as parameters
from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from pipeline.inspecting.errors import InspectError, UnreadableError
from pipeline.inspecting.leaf_columns import read_leaf
from pipeline.inspecting.locations import DataLocation
from pipeline.inspecting.readonly_database import ReadonlyDatabase, scan_shards
from pipeline.inspecting.shard_listing import drop_damaged, list_shards
from pipeline.storage.older_forms import advise_redo, describe_older, list_columns
from schemas.arrow import arrow_schema
from schemas.judgements import Judgement
from schemas.record import Record
from schemas.tasks import MaskTask
from schemas.trajectories import Trajectory

ATTEMPTS = "attempts"
RESIDENT = 4_000_000
BUILD_SECONDS = 900.0
KINDS = pa.schema(
    {
        "file_index": pa.int32(),
        "file_row_number": pa.int64(),
        "items": pa.list_(pa.struct({"kind": pa.string()})),
    }
)
JOINED: tuple[type[Record], ...] = (Trajectory, MaskTask, Judgement)

_TABLE = """
CREATE {kind} attempts AS
SELECT t.trajectory_id, t.task_id, k.title, k.lang, k.mask_count AS masks,
       array_to_string(list_sort(list_distinct(list_transform(s.items, lambda one: one.kind))), '+') AS kinds,
       k.difficulty, k.searches::INT AS searches, k.pages::INT AS pages, k.rivals::INT AS rivals, t.policy,
       coalesce(try_cast(regexp_extract(t.policy, '^teacher-r([0-9]+)$', 1) AS INT), 0) AS round,
       t.hide, t.attempt::INT AS attempt, n.items::INT AS turns, t.stop_reason,
       coalesce(list_sum(list_transform(t.usage, lambda u: u.cost)), 0)::FLOAT AS cost,
       coalesce(list_sum(list_transform(t.usage, lambda u: u.prompt_tokens + u.completion_tokens)), 0)::BIGINT
           AS tokens,
       j.verdict, j.judge, j.accepted, j.reject_reason AS reason, j.f1, j.recall,
       j.answer_seen,
       CASE WHEN j.signature.shortcut THEN 'source' WHEN j.answer_seen THEN 'elsewhere'
            WHEN NOT j.answer_seen THEN 'nowhere' END AS shown_by,
       j.signature.co_covered, j.signature.queries::INT AS queries,
       list_min(list_transform(j.signature.masks, lambda one: one.support))::INT AS support,
       j.signature.verbatim_queries::INT AS verbatim_queries, j.signature.chained_turns::INT AS chained_turns,
       t.file_index::INT AS t_file, t.file_row_number::INT AS t_row,
       k.file_index::INT AS k_file, k.file_row_number::INT AS k_row,
       j.file_index::INT AS j_file, j.file_row_number::INT AS j_row
FROM {trajectories} t JOIN turn_counts n ON t.file_index = n.file_index AND t.file_row_number = n.file_row_number
     LEFT JOIN {tasks} k ON t.task_id = k.task_id
     LEFT JOIN span_kinds s ON k.file_index = s.file_index AND k.file_row_number = s.file_row_number
     LEFT JOIN {judgements} j ON t.trajectory_id = j.trajectory_id
"""
LEAVES = ("turn_counts", "span_kinds")


def open_attempts(where: DataLocation | Path) -> tuple[ReadonlyDatabase, bool]:
    """Open a location with the table, damaged shards left out; False without trajectories.

    Raises InspectError when nothing is readable.
    """
    listing = list_shards(where)
    database = ReadonlyDatabase(listing)
    try:
        return database, make_attempts(database)
    except UnreadableError:
        sound = drop_damaged(listing)
        if len(sound.broken) == len(listing.broken):
            raise
        database.close()
        database = ReadonlyDatabase(sound)
        return database, make_attempts(database)


def make_attempts(database: ReadonlyDatabase) -> bool:
    """Make the table; False without trajectories."""
    listing = database.listing
    if Trajectory.dataset not in listing.datasets:
        return False
    sources = {model.dataset: _source(database, model) for model in JOINED}
    _read_leaves(database)
    kind = "TABLE" if listing.rows(Trajectory.dataset) <= RESIDENT else "VIEW"
    try:
        database.query(_TABLE.format(kind=kind, **sources), seconds=BUILD_SECONDS)
    except UnreadableError:
        raise
    except InspectError:
        check_columns(database)
        raise
    if kind == "TABLE":
        for name in LEAVES:
            database.query(f"DROP TABLE {name}")
        for column in ("trajectory_id", "task_id"):
            database.query(f"CREATE INDEX by_{column} ON attempts ({column})", seconds=BUILD_SECONDS)
    return True


def check_columns(database: ReadonlyDatabase) -> None:
    """Raise InspectError for a dataset of attempts that lacks columns, the first in the order of the job."""
    for model in (MaskTask, Trajectory, Judgement):
        for shard in database.listing.datasets.get(model.dataset, ())[:1]:
            held = set(list_columns(shard.schema))
            if missing := [name for name in list_columns(arrow_schema(model)) if name not in held]:
                what = f"{database.listing.place.name}: {describe_older(model.dataset, missing)}"
                raise InspectError(what, advise_redo(database.listing.place.address, shard.schema)) from None


def _read_leaves(database: ReadonlyDatabase) -> None:
    """Make the tables of single leaves."""
    datasets = database.listing.datasets
    turns = read_leaf(datasets[Trajectory.dataset], "turns")
    spans = datasets.get(MaskTask.dataset)
    kinds = read_leaf(spans, "spans", "kind") if spans else KINDS.empty_table()
    for name, table in zip(LEAVES, (turns, kinds), strict=True):
        with database.cursor(BUILD_SECONDS) as cursor:
            cursor.from_arrow(table).create(name)


def _source(database: ReadonlyDatabase, model: type[Record]) -> str:
    """A dataset with the position of each row; an empty one without shards."""
    shards = database.listing.datasets.get(model.dataset)
    if shards:
        return scan_shards(shards)  # DuckDB adds the columns with the position of a row
    empty = f"no_{model.dataset}"
    with database.cursor() as cursor:
        cursor.from_arrow(arrow_schema(model).empty_table()).create(empty)
    return f"(SELECT *, 0 AS file_row_number, 0 AS file_index FROM {empty})"
