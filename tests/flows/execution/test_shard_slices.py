"""Slices of shards that Prefect sees as one task: nothing is left out, and what has been done is not done again."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import Future
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.configuration.run_context import RunContext
from flows.execution.shard import ShardReport
from flows.execution.stage import MOST_TASKS, RunSession, ShardSlice, cut_slices
from flows.monitoring.stage_progress import StageProgress
from flows.monitoring.stall_detector import ParseFailureDetector
from flows.stages.registry import find_spec
from pipeline.errors import ConfigError
from pipeline.storage.run_folder import RunFolder
from schemas.config import RunConfig
from schemas.ledger import ShardCommit


class Shop:
    """Stands in for a session: does shards at once, and fails some of them as often as it is told."""

    def __init__(self, context: RunContext, faults: dict[str, list[Exception]]) -> None:
        self.context = context
        self.asked: Counter[str] = Counter()
        self._faults = faults

    def submit(self, _spec: Any, _work: Any, stage: str, _run: str, shard: str, *_: Any) -> Future[ShardReport]:
        self.asked[shard] += 1
        future: Future[ShardReport] = Future()
        if self._faults.get(shard):
            future.set_exception(self._faults[shard].pop(0))
        else:
            future.set_result(ShardReport(ShardCommit(stage=stage, shard=shard, inputs=0, files=(), funnel=()), 0.0))
        return future


@pytest.fixture
def context(tmp_path: Any) -> RunContext:
    return RunContext(RunFolder(tmp_path / "run"), RunConfig(), tmp_path)


def make_slice(shop: Shop, shards: list[str]) -> ShardSlice:
    spec = find_spec("chunk")
    gauge = StageProgress(shop.context, spec, None)
    return ShardSlice(cast(RunSession, shop), spec, shards, gauge, ParseFailureDetector("chunk"))


@given(st.lists(st.text(), max_size=1_000))
def test_slices_hold_every_shard_once_and_in_order(shards: list[str]) -> None:
    slices = list(cut_slices(shards))
    assert [shard for part in slices for shard in part] == shards
    assert len(slices) <= MOST_TASKS
    assert {len(part) for part in slices[:-1]} <= {len(slices[0])} if slices else not shards


def test_few_shards_are_a_task_each() -> None:
    assert [len(part) for part in cut_slices([str(number) for number in range(MOST_TASKS)])] == [1] * MOST_TASKS


def test_a_slice_tried_again_does_only_what_is_left(context: RunContext) -> None:
    shop = Shop(context, {"b": [OSError("the worker died")]})
    part = make_slice(shop, ["a", "b", "c"])
    with pytest.raises(OSError, match="died"):
        part.work()
    reports = part.work()
    assert shop.asked == {"a": 1, "b": 2, "c": 1}
    assert sorted(report.commit.shard for report in reports) == ["a", "b", "c"]


def test_a_fault_that_may_pass_is_raised_before_one_that_a_user_must_mend(context: RunContext) -> None:
    mend, passing = ConfigError("no such model", "name another"), OSError("the worker died")
    part = make_slice(Shop(context, {"a": [mend, mend], "c": [passing]}), ["a", "b", "c"])
    with pytest.raises(OSError, match="died"):
        part.work()
    with pytest.raises(ConfigError, match="no such model"):
        part.work()


@pytest.mark.parametrize(("shards", "name"), [(["000-00007"], "000-00007"), (["a", "b", "c"], "a to c")])
def test_a_slice_is_named_for_its_ends(context: RunContext, shards: list[str], name: str) -> None:
    assert make_slice(Shop(context, {}), shards).name == name
