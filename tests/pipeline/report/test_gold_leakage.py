"""How often simulated documents hand over the gold: counted in judgements, summed and said in the report."""

from __future__ import annotations

import duckdb
import pyarrow as pa

from pipeline.judging.judge_stage import JudgedAttempt, JudgeStage
from pipeline.report.leaks import sum_simulated, warn_of_gold
from schemas.arrow import arrow_schema
from schemas.config import JudgingConfig
from schemas.judgements import Judgement, SimulatedEvidence
from schemas.trajectories import Hit, SearchCall, SearchStatus, Usefulness
from tests.support.trajectory_samples import make_task, make_trajectory, make_turn

TASK = make_task("The school was founded in 1868 by Ada Byron.", ["1868"])


def judge(*documents: tuple[str, str, Usefulness | None]) -> Judgement:
    """The judgement on an attempt that was shown these documents: id, text and label of each."""
    hits = tuple(Hit(passage_id=name, score=1.0, usefulness=label) for name, _, label in documents)
    calls = tuple(SearchCall(query=q, status=SearchStatus.OK, hits=hits, detail=None) for q in ("a", "b", "c"))
    turn = make_turn([(name, "A page", text) for name, text, _ in documents], calls=calls)
    trajectory = make_trajectory(TASK, ["1868"], [turn, turn])
    return JudgeStage(JudgingConfig()).judge(JudgedAttempt(trajectory, TASK, frozenset()))


def test_simulated_documents_with_the_gold_are_counted_once() -> None:
    judgement = judge(
        ("u1", "It opened in 1868.", Usefulness.USEFUL),
        ("u2", "It opened long ago.", Usefulness.USEFUL),
        ("n1", "It closed in 18680.", Usefulness.NOISY),
        ("n2", "It closed in 1868.", Usefulness.NOISY),
        ("f1", "Founded 1868.", None),
    )
    assert judgement.simulated == SimulatedEvidence(useful=2, useful_with_gold=1, noisy=2, noisy_with_gold=1)
    assert judge(("f1", "Founded 1868.", None)).simulated is None


def test_the_report_sums_and_says_it() -> None:
    rows = [
        judge(("u1", "It opened in 1868.", Usefulness.USEFUL), ("u2", "x", Usefulness.USEFUL)),
        judge(("n1", "It opened in 1868.", Usefulness.NOISY)),
        judge(("f1", "Founded 1868.", None)),
    ]
    with duckdb.connect() as db:
        db.register(
            "judgements",
            pa.Table.from_pylist([r.model_dump(mode="json") for r in rows], schema=arrow_schema(Judgement)),
        )
        total = sum_simulated(db)
        assert total == SimulatedEvidence(useful=2, useful_with_gold=1, noisy=1, noisy_with_gold=1)
        assert "1 of 2 useful (50%), 1 of 1 noisy (100%)" in warn_of_gold(total)
        db.register("judgements", pa.Table.from_pylist([], schema=arrow_schema(Judgement)))
        assert sum_simulated(db) is None
