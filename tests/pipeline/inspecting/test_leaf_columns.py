"""Leaves of nested columns: the same as from the whole column, whatever the writer and however many row groups."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.inspecting.errors import UnreadableError
from pipeline.inspecting.leaf_columns import read_leaf
from pipeline.inspecting.shard_listing import Shard, list_shards

ROWS = st.lists(st.lists(st.tuples(st.text("ab", max_size=3), st.text("kind", max_size=3)), max_size=3), max_size=9)


def write_shards(folder: Path, shards: list[list[list[tuple[str, str]]]], strict: bool = False) -> tuple[Shard, ...]:
    item = pa.struct([pa.field("text", pa.string(), not strict), pa.field("kind", pa.string(), not strict)])
    for number, rows in enumerate(shards):
        values = [[{"text": text, "kind": kind} for text, kind in row] for row in rows]
        table = pa.table({"spans": pa.array(values, pa.list_(item))})
        (folder / "tasks").mkdir(parents=True, exist_ok=True)
        pq.write_table(table, folder / "tasks" / f"part-{number}.parquet", row_group_size=2)
    return list_shards(folder).datasets["tasks"]


@settings(max_examples=25, deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=3), st.booleans())
def test_leaves_equal_those_of_the_whole_column(
    tmp_path_factory: pytest.TempPathFactory, shards: list[list[list[tuple[str, str]]]], strict: bool
) -> None:
    found = write_shards(tmp_path_factory.mktemp("run"), shards, strict)
    counted, kinds = read_leaf(found, "spans"), read_leaf(found, "spans", "kind")
    places = [(n, row) for n, rows in enumerate(shards) for row in range(len(rows))]
    for table in (counted, kinds):
        assert list(zip(table["file_index"].to_pylist(), table["file_row_number"].to_pylist(), strict=True)) == places
    assert counted["items"].to_pylist() == [len(row) for rows in shards for row in rows]
    assert kinds["items"].to_pylist() == [[{"kind": kind} for _, kind in row] for rows in shards for row in rows]


def test_shards_of_other_writers_are_read(tmp_path: Path) -> None:
    write_shards(tmp_path, [[[("a", "date")]], []], strict=True)
    path = tmp_path / "tasks" / "part-9.parquet"
    spans = "[{text: 'b', kind: 'term'}, {text: 'c', kind: NULL}]"
    duckdb.execute(f"COPY (SELECT {spans} AS spans) TO '{path}' (FORMAT parquet)")
    shards = list_shards(tmp_path).datasets["tasks"]
    assert read_leaf(shards, "spans")["items"].to_pylist() == [1, 2]
    assert read_leaf(shards, "spans", "kind")["items"].to_pylist()[1] == [{"kind": "term"}, {"kind": None}]


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    shards = write_shards(tmp_path, [[[("a" * 50, "date")]] * 40])
    path = tmp_path / "tasks" / "part-0.parquet"
    content = bytearray(path.read_bytes())
    content[4:1000] = bytes(len(content[4:1000]))
    path.write_bytes(content)
    with pytest.raises(UnreadableError, match="part-0"):
        read_leaf(shards, "spans")
