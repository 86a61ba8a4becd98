"""The oracle's yield, by number of masks."""

from __future__ import annotations

import duckdb

from pipeline.auditing.reach import measure_reach

PLAYS = [(1, True), (1, True), (1, False), (2, False), (4, True)]


def test_yield_of_the_oracle_by_masks() -> None:
    with duckdb.connect() as database:
        database.execute("CREATE TABLE reachability (mask_count INT, reached BOOL)")
        assert not list(measure_reach(lambda sql: database.execute(sql).fetchall()))
        database.executemany("INSERT INTO reachability VALUES (?, ?)", PLAYS)
        measures = list(measure_reach(lambda sql: database.execute(sql).fetchall()))
    assert [(one.part, one.count, one.of) for one in measures] == [
        ("", 3, 5),
        ("k=1", 2, 3),
        ("k=2", 0, 1),
        ("k=4", 1, 1),
    ]
