"""The oracle's yield, and measures of the masks that it reached, by number of masks."""

from __future__ import annotations

import duckdb

from pipeline.auditing.reach import measure_reach

PLAYS = """
    CREATE TABLE reachability AS SELECT * FROM (VALUES
        (1, true, [{other_passage_id: NULL, rivals: 2, hidden_clues: 0}]),
        (1, true, [{other_passage_id: 'p', rivals: 0, hidden_clues: 0}]),
        (1, false, [{other_passage_id: NULL, rivals: 5, hidden_clues: 4}]),
        (2, true, [{other_passage_id: NULL, rivals: NULL, hidden_clues: 3},
                   {other_passage_id: 'p', rivals: 1, hidden_clues: 0}]),
        (4, false, [])
    ) AS plays(mask_count, reached, masks)
"""


def test_measures_of_the_oracle_by_masks() -> None:
    with duckdb.connect() as database:
        database.execute(PLAYS)
        found = {(m.name, m.part): (m.count, m.of) for m in measure_reach(lambda sql: database.execute(sql).fetchall())}
        database.execute("DELETE FROM reachability")
        assert not list(measure_reach(lambda sql: database.execute(sql).fetchall()))
    assert found == {
        **{
            ("reachable", ""): (3, 5),
            ("reachable", "k=1"): (2, 3),
            ("reachable", "k=2"): (1, 1),
            ("reachable", "k=4"): (0, 1),
        },
        **{("needed", ""): (2, 4), ("needed", "k=1"): (1, 2), ("needed", "k=2"): (1, 2)},
        **{("rivals", ""): (2, 4), ("rivals", "k=1"): (1, 2), ("rivals", "k=2"): (1, 2)},
        **{("hidden_clues", ""): (1, 4), ("hidden_clues", "k=1"): (0, 2), ("hidden_clues", "k=2"): (1, 2)},
    }
