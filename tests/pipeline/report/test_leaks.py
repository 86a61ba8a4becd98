"""What came through although it was hidden: found in trajectories, summed and said in the report."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pytest

from pipeline.judging.judge_stage import JudgedAttempt, JudgeStage
from pipeline.report.leaks import LeakRate, count_leaks, describe_leaks
from schemas.arrow import arrow_schema
from schemas.config import JudgingConfig
from schemas.judgements import Judgement
from schemas.trajectories import HideMode, Trajectory
from tests.support.trajectory_samples import make_task, make_trajectory, make_turn

TEXT = "The school on the hill above the river was founded in 1868 by Ada Byron and her two sisters."
TASK = make_task(TEXT, ["1868"])
COPY = f"As is known, {TEXT[:-1]}, who taught there."


def attempt(hide: HideMode, *shown: tuple[str, str, str]) -> Trajectory:
    return make_trajectory(TASK, ["1868"], [make_turn(list(shown))]).model_copy(update={"hide": hide})


def judge(trajectory: Trajectory) -> Judgement:
    return JudgeStage(JudgingConfig()).judge(JudgedAttempt(trajectory, TASK, frozenset({TASK.passage_id, "sibling"})))


@pytest.mark.parametrize(
    ("hide", "passage_id", "title", "text", "leaked", "copies"),
    [
        (HideMode.NONE, TASK.passage_id, TASK.title, TEXT, False, 0),
        (HideMode.NONE, "sibling", TASK.title, "Another part.", False, 0),
        (HideMode.NONE, "far", "Far", COPY, False, 1),
        (HideMode.PASSAGE, TASK.passage_id, TASK.title, TEXT, True, 0),
        (HideMode.PASSAGE, "sibling", TASK.title, "Another part.", False, 0),
        (HideMode.PASSAGE, "far", "Far", COPY, False, 1),
        (HideMode.PAGE, "sibling", "Renamed", "Another part.", True, 0),
        (HideMode.PAGE, "web hash", TASK.title, "Another part.", True, 0),
        (HideMode.PAGE, "far", "Far", "The school on the hill is old.", False, 0),
    ],
)
def test_leaks_are_found(hide: HideMode, passage_id: str, title: str, text: str, leaked: bool, copies: int) -> None:
    judgement = judge(attempt(hide, (passage_id, title, text), ("z", "Other", "Nothing of note.")))
    assert (judgement.leaked, judgement.copies_shown) == (leaked, copies)


def test_leak_rate_counts_attempts_with_a_hidden_source() -> None:
    trajectories = [
        attempt(HideMode.NONE, (TASK.passage_id, TASK.title, TEXT)),
        attempt(HideMode.PASSAGE, (TASK.passage_id, TASK.title, TEXT)),
        attempt(HideMode.PASSAGE, ("far", "Far", COPY)),
        attempt(HideMode.PAGE, ("z", "Other", "Nothing of note.")),
    ]
    rows = [t.model_copy(update={"trajectory_id": f"t{n}"}) for n, t in enumerate(trajectories)]
    with duckdb.connect() as db:
        for name, model, records in (
            ("trajectories", Trajectory, rows),
            ("judgements", Judgement, [judge(row) for row in rows]),
        ):
            table = pa.Table.from_pylist([record.model_dump(mode="json") for record in records], arrow_schema(model))
            db.register(name, table)
        rate = count_leaks(db)
        assert rate == LeakRate(attempts=3, leaked=1, copied=1)
    assert "1 (33.3%) were shown it all the same, and 1 (33.3%) a near-copy" in describe_leaks(rate)
