"""Titles that redirect to pages, looked up for one shard at a time, because redirects may be in any file of a dump."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa

from pipeline.storage.shards import reading_boundary


def find_aliases(redirects: Sequence[Path], targets: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return, for each target that has any, the titles that redirect to it, sorted. `redirects`: the dataset's files.

    One scan over the Parquet files; memory is bounded by the result, not by the dataset.
    """
    lookup = pa.table({"target": pa.array(sorted(set(targets)), pa.string())})
    if not lookup.num_rows or not redirects:
        return {}
    with reading_boundary(redirects[0].parent, redirects[0].parent.parent), duckdb.connect() as database:
        database.register("lookup", lookup)
        rows = database.execute(
            "SELECT target, list(DISTINCT title ORDER BY title) FROM read_parquet(?) SEMI JOIN lookup USING (target) "
            "GROUP BY target",
            [[glob.escape(str(path)) for path in redirects]],  # DuckDB treats every path as a pattern,
        ).fetchall()
    return {target: tuple(titles) for target, titles in rows}
