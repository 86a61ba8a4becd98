"""Other titles of pages, looked up for one shard at a time: redirects may stand in any file of a dump."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import duckdb
import pyarrow as pa


def find_aliases(redirects: Path, targets: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """For each target that has any: the titles that redirect to it, sorted. `redirects` is the dataset's folder.

    One scan over the Parquet files; memory is bounded by the answer, not by the dataset.
    """
    wanted = pa.table({"target": pa.array(sorted(set(targets)), pa.string())})
    if not wanted.num_rows or not any(redirects.glob("part-*.parquet")):
        return {}
    with duckdb.connect() as database:
        database.register("wanted", wanted)
        rows = database.execute(
            "SELECT target, list(DISTINCT title ORDER BY title) FROM read_parquet(?) SEMI JOIN wanted USING (target) "
            "GROUP BY target",
            [str(redirects / "part-*.parquet")],
        ).fetchall()
    return {target: tuple(titles) for target, titles in rows}
