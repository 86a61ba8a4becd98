"""Conditions are checked before rows are read: an error names the user's own words, and the columns."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.exporting.row_selection import find_matching
from pipeline.errors import StorageError
from pipeline.inspecting.attempts_table import ATTEMPTS, open_attempts
from pipeline.inspecting.errors import InspectError
from pipeline.inspecting.row_query import RowQuery, read_rows
from pipeline.storage.near_runs import OTHERWISE, suggest_runs
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shards import read_rows as read_shard
from schemas.judgements import Judgement
from tests.support.export_samples import make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return make_run(tmp_path_factory.mktemp("run") / "sample")


@pytest.mark.parametrize(
    ("where", "what", "fix"),
    [
        (" ", "empty", "hide ="),
        ("turns", "'turns'", "masks"),
        ("'a'", "VARCHAR", "masks"),
        ("NULL", "not a condition", "masks"),
        ("masks = ", '"="', "hide ="),
        ("-- all", "syntax", "hide ="),
        ("maskz = 2", '"maskz"', "masks"),
        ("count(*) > 1", "aggregates", "masks"),
        ("true) OR (true", '")"', "hide ="),
        ("true ORDER BY 1", "ORDER", "hide ="),
        ("true; SELECT 1", "SELECT", "condition"),
    ],
)
def test_what_is_no_condition_is_refused(run: RunFolder, where: str, what: str, fix: str) -> None:
    database, _ = open_attempts(run.root)
    try:
        for select in (
            lambda: read_rows(database, RowQuery(ATTEMPTS, where)),
            lambda: find_matching(run, where),
        ):
            with pytest.raises(InspectError) as raised:
                select()
            assert what in raised.value.what
            assert fix in raised.value.fix
    finally:
        database.close()


@pytest.mark.parametrize("where", ["masks >= 1", "masks >= 1 -- all", "title LIKE '%' /* a */", "masks IN (1, 2)"])
def test_a_condition_selects(run: RunFolder, where: str) -> None:
    database, _ = open_attempts(run.root)
    try:
        assert read_rows(database, RowQuery(ATTEMPTS, where)).total == len(find_matching(run, where)) > 0
    finally:
        database.close()


def test_near_names_of_runs_are_suggested(tmp_path: Path) -> None:
    assert suggest_runs(str(tmp_path / "demo")) == suggest_runs("s3://bucket/demo") == OTHERWISE
    for name in ("demo", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").touch()
    assert suggest_runs(str(tmp_path / "dem")) == f"there are: {tmp_path / 'demo'}"
    assert suggest_runs(str(tmp_path / "xyz")) == f"there are: {tmp_path / 'demo'}, {tmp_path / 'other'}"


def drop_columns(run: RunFolder, drop: Callable[[pa.Table], pa.Table]) -> list[Path]:
    """Write the judgements of a run anew without some columns."""
    paths = sorted(run.dataset(Judgement.dataset).glob("*.parquet"))
    for path in paths:
        table = pq.read_table(path)
        path.unlink()
        pq.write_table(drop(table), path)
    return paths


def drop_queries(table: pa.Table) -> pa.Table:
    signatures = [
        {name: value for name, value in row.items() if name != "queries"} for row in table["signature"].to_pylist()
    ]
    return table.set_column(table.schema.get_field_index("signature"), "signature", pa.array(signatures))


def test_a_run_of_an_older_form_says_what_is_missing(tmp_path: Path) -> None:
    old = make_run(tmp_path / "old")
    for path in drop_columns(old, lambda table: table.drop_columns(["signature"])):
        with pytest.raises(StorageError) as unread:
            list(read_shard(path, Judgement))
        assert "without signature" in unread.value.what
        assert "--redo" in unread.value.fix


def test_conditions_on_a_run_of_an_older_form_say_what_is_missing(tmp_path: Path) -> None:
    old = make_run(tmp_path / "old")
    drop_columns(old, drop_queries)
    shutil.rmtree(old.root / "ledger")  # which knows the sizes of the shards
    with pytest.raises(InspectError) as unread:
        open_attempts(old.root)
    assert unread.value.what.endswith("without signature.queries")
    assert "--redo" in unread.value.fix
