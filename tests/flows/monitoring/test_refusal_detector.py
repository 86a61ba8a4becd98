"""A stage in which nothing was answered is thrown away, and says why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from flows.monitoring.refusal_detector import refuse_all_refused
from pipeline.errors import SearchError
from pipeline.llm.chat_model import AllRefusedError
from pipeline.stage import Outcome
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shard_run import ShardPlan, run_shard
from pipeline.storage.stage_ledger import holds_work, open_stage
from schemas.documents import Redirect
from schemas.funnel import FunnelStep, Reject
from tests.pipeline.storage.test_shards import Title


class Rejecting:
    """Rejects each input for the reason in its key; `kept` alone is a row."""

    whole_shard = False

    def __init__(self, stage: str) -> None:
        self.stage = stage

    def run(self, inputs: Iterable[Title]) -> Iterator[Outcome]:
        for title in inputs:
            key, reason = title.key, title.key.partition(" ")[2]
            if reason == "kept":
                row = Redirect(redirect_id=key, lang="en", title=key, target="T")
                step = FunnelStep(stage=self.stage, unit="trajectory", entered=1, passed=1, rejected={})
                yield Outcome(key, (row,), (step,))
                continue
            reject = Reject(
                stage=self.stage, unit="trajectory", input_id=key, reason=reason, detail="connection refused"
            )
            step = FunnelStep(stage=self.stage, unit="trajectory", entered=1, passed=0, rejected={reason: 1})
            yield Outcome(key, (reject,), (step,))


def work(root: Path, stage: str, reasons: Iterable[str]) -> RunFolder:
    run = RunFolder(root)
    open_stage(run, stage, {}, None)
    plan = ShardPlan(run, stage, "000", (Redirect,), {"stage": stage})
    run_shard(plan, Rejecting(stage), [Title(f"{number} {reason}") for number, reason in enumerate(reasons)])
    return run


@pytest.mark.parametrize(
    ("stage", "reasons", "error"),
    [
        ("trajectories", ["search_failed", "search_failed"], SearchError),
        ("trajectories", ["search_failed", "bad_request"], AllRefusedError),
        ("judgements", ["context_overflow"], AllRefusedError),
    ],
)
def test_a_stage_in_which_nothing_was_answered_records_nothing(
    stage: str, reasons: list[str], error: type[Exception], tmp_path: Path
) -> None:
    run = work(tmp_path, stage, reasons)
    with pytest.raises(error) as raised:
        refuse_all_refused(run, stage)
    assert ("connection refused" in str(raised.value)) is (error is SearchError)
    assert not holds_work(run, stage)


@pytest.mark.parametrize(
    ("stage", "reasons"),
    [
        ("trajectories", ["search_failed", "kept"]),
        ("trajectories", ["search_failed", "gave_up"]),
        ("judgements", ["search_failed"]),
    ],
)
def test_a_stage_with_an_answer_keeps_its_rejects(stage: str, reasons: list[str], tmp_path: Path) -> None:
    run = work(tmp_path, stage, reasons)
    refuse_all_refused(run, stage)
    assert holds_work(run, stage)
