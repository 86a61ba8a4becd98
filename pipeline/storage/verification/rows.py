"""Verification of a run's rows against their schemas and each other, for `rampforge verify --deep`.

Guarantees: memory is bounded by DuckDB's limit, whatever the size of the run; missing and damaged files are left to the
comparison of checksums.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import StorageError
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shards import check_version
from schemas.arrow import arrow_schema
from schemas.funnel import Reject
from schemas.record import Record
from schemas.verification import FileFault, Part, VerificationFinding


def verify_rows(run: RunFolder, models: Mapping[str, type[Record]]) -> Iterator[VerificationFinding]:
    """Defects in the rows of the finished shards. `models`: of every dataset, by name."""
    commits = [commit for stage in run.stages() for commit in run.commits(stage)]
    rows = {(file.dataset, file.name): (commit.stage, file.rows) for commit in commits for file in commit.files}
    stages = {dataset: stage for (dataset, _), (stage, _) in rows.items()}
    sound: dict[str, list[str]] = {}
    for dataset in sorted({dataset for dataset, _ in rows} & models.keys()):
        try:
            paths = run.files(dataset)
        except StorageError:
            continue  # reported by the comparison of checksums
        faults = [_check_file(path, models[dataset], *rows[dataset, path.name]) for path in paths]
        yield from (fault for fault in faults if fault)
        if not any(faults) and paths:
            sound[dataset] = [glob.escape(str(path)) for path in paths]  # DuckDB takes every path for a pattern
    with duckdb.connect() as database:
        for dataset, names in sound.items():
            database.read_parquet(names, hive_partitioning=False).create_view(dataset)
        for dataset in sound.keys() - {Reject.dataset}:
            yield from _check_ids(database, dataset, models[dataset].id_field, stages[dataset])
            for column, target in models[dataset].references.items():
                if target in sound:
                    yield from check_reference(database, models[dataset], column, models[target], stages[dataset])


def _check_file(path: Path, model: type[Record], stage: str, rows: int) -> VerificationFinding | None:
    try:
        metadata = pq.read_metadata(path)
        schema = metadata.schema.to_arrow_schema()
        check_version(path, schema, model)
    except StorageError as error:
        return _find(model.dataset, path.name, stage, error.what)
    except (pa.ArrowException, OSError) as error:
        return _find(model.dataset, path.name, stage, f"cannot be read: {str(error).splitlines()[0][:160]}")
    if not schema.remove_metadata().equals(arrow_schema(model).remove_metadata()):
        return _find(model.dataset, path.name, stage, "its columns are not those of the dataset")
    if metadata.num_rows != rows:
        return _find(model.dataset, path.name, stage, f"{metadata.num_rows:,} rows instead of {rows:,}")
    return None


def _check_ids(
    database: duckdb.DuckDBPyConnection, dataset: str, id_field: str, stage: str
) -> Iterator[VerificationFinding]:
    query = f"SELECT count(*) - count(DISTINCT {id_field}) FROM {dataset}"  # noqa: S608  # names of our own models
    ((repeated,),) = database.execute(query).fetchall()
    if repeated:
        yield _find(dataset, "", stage, f"{repeated:,} rows repeat the {id_field} of another")


def check_reference(
    database: duckdb.DuckDBPyConnection, model: type[Record], column: str, target: type[Record], stage: str
) -> Iterator[VerificationFinding]:
    """Ids in a column that the target dataset lacks. Both datasets are views or tables of the database."""
    query = (
        f"SELECT count(*), min(a.{column}) FROM {model.dataset} a "  # noqa: S608  # names of our own models
        f"WHERE NOT EXISTS (SELECT 1 FROM {target.dataset} b WHERE b.{target.id_field} = a.{column})"
    )
    ((dangling, first),) = database.execute(query).fetchall()
    if dangling:
        what = f"{dangling:,} rows name a {column} that {target.dataset} lacks, such as {first}"
        yield _find(model.dataset, "", stage, what)


def _find(dataset: str, name: str, stage: str, what: str) -> VerificationFinding:
    fix = f"`rampforge resume RUN --redo {stage}` makes the stage, and all after it, again"
    file = f"{dataset}/{name}" if name else dataset
    return VerificationFinding(file=file, fault=FileFault.DAMAGED, what=what, part=Part.ROWS, stage=stage, fix=fix)
