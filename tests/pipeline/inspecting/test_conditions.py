"""Conditions that somebody wrote run apart: their time and their memory are bounded, and end with them."""

from __future__ import annotations

import pytest

from pipeline.inspecting import condition_process
from pipeline.inspecting.condition_process import read_rows_apart
from pipeline.inspecting.errors import InspectError
from pipeline.inspecting.readonly_database import ReadonlyDatabase
from pipeline.inspecting.row_query import RowQuery, read_rows
from pipeline.inspecting.shard_listing import ShardListing, list_shards
from tests.support.inspect_samples import make_run

pytestmark = pytest.mark.processes

LONG_TEXT = "length(repeat('x', 400000000) || task_id) > 1"
LONG_TIME = "(SELECT count(*) FROM range(100000000) a, range(1000000) b WHERE a.range % 7 = b.range % 5) > 0"


@pytest.fixture(scope="module")
def listing(tmp_path_factory: pytest.TempPathFactory) -> ShardListing:
    return list_shards(make_run(tmp_path_factory.mktemp("conditions") / "harbour"))


def test_rows_are_those_read_here(listing: ShardListing) -> None:
    wanted = RowQuery("tasks", "task_id LIKE '%1'", limit=5)
    assert read_rows_apart(listing, wanted) == read_rows(ReadonlyDatabase(listing), wanted)
    assert read_rows_apart(listing, RowQuery("attempts", "masks >= 0")).total > 0
    with pytest.raises(InspectError, match=r"SELECT|syntax"):
        read_rows_apart(listing, RowQuery("tasks", "1); DROP TABLE x; --"))


def test_a_condition_ends_by_memory(listing: ShardListing) -> None:
    with pytest.raises(InspectError, match="emory"):
        read_rows_apart(listing, RowQuery("tasks", LONG_TEXT))


def test_a_condition_ends_by_time(listing: ShardListing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(condition_process, "SECONDS", 4.0)
    with pytest.raises(InspectError, match="longer than 4 s"):
        read_rows_apart(listing, RowQuery("tasks", LONG_TIME))
