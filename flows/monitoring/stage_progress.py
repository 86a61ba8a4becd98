"""Totals of a stage in progress (`StageLive`), from the reports of its processes and the usage log.

Guarantees: an input counts once, whether its shard is finished or in progress, and the count never decreases; inputs of
earlier sessions count as done, but not towards the speed.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

from flows.configuration.run_context import RunContext
from flows.models.usage import open_budget
from flows.monitoring.live_files import read_live, read_shards
from flows.stages.spec import StageSpec
from schemas.ledger import ShardCommit
from schemas.live import CallsLive, EndpointLive, ShardLive, StageLive
from schemas.roles import Role

WINDOW_SECONDS = 30.0
"""Window over which speed is measured."""


@dataclass(frozen=True, slots=True)
class ProgressSums:
    """Totals at one moment."""

    at: float = 0.0
    done: int = 0
    done_now: int = 0
    judged: int = 0
    """Inputs done of which the number of accepted ones is known."""
    accepted: int = 0
    answered: int = 0
    faults: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0

    def add_shard(self, shard: ShardLive) -> ProgressSums:
        """Add a shard in progress."""
        judged = 0 if shard.accepted is None else shard.done
        added = replace(
            self,
            done=self.done + shard.resumed + shard.done,
            done_now=self.done_now + shard.done,
            judged=self.judged + judged,
            accepted=self.accepted + (shard.accepted or 0),
        )
        return added.add_calls(shard)

    def add_calls(self, shard: ShardLive) -> ProgressSums:
        """Add the calls of a shard."""
        answered = sum(endpoint.answered for endpoint in shard.endpoints)
        faults = sum(endpoint.faults for endpoint in shard.endpoints)
        return replace(self, answered=self.answered + answered, faults=self.faults + faults)

    def add_commit(self, commit: ShardCommit, unit: str, now: int) -> ProgressSums:
        """Add a finished shard, with the number of its inputs done in this session."""
        passed = [step.passed for step in commit.funnel if step.unit == unit]
        return replace(
            self,
            done=self.done + commit.inputs,
            done_now=self.done_now + now,
            judged=self.judged + (commit.inputs if passed else 0),
            accepted=self.accepted + sum(passed),
        )


class StageProgress:
    """Progress of one stage. Shards are added from any thread; one thread reads."""

    def __init__(self, context: RunContext, spec: StageSpec, total: int | None) -> None:
        self.endpoints: tuple[EndpointLive, ...] = ()
        """Current endpoints, each over all processes."""
        self._context, self._stage, self._unit, self._total = context, spec.name, spec.unit, total
        self._finished: set[str] = set()
        self._settled = ProgressSums()
        self._lock = threading.Lock()
        asks = any(role != Role.SCORER for role in spec.roles(context.config))
        self._budget = open_budget(context) if asks else None
        self._before = replace(self._read_usage(ProgressSums()), at=time.monotonic())
        self._samples = deque([self._before])
        self.latest = self.read()
        """Latest reading."""

    def enter_earlier(self, commit: ShardCommit) -> None:
        """Add a shard finished in an earlier session."""
        with self._lock:
            self._finished.add(commit.shard)
            self._settled = self._settled.add_commit(commit, self._unit, 0)

    def enter(self, commit: ShardCommit) -> None:
        """Add a shard that has just finished."""
        path = self._context.run.live_shard(self._stage, commit.shard)
        last = read_live(path, ShardLive)
        with self._lock:
            self._finished.add(commit.shard)
            self._settled = self._settled.add_commit(commit, self._unit, commit.inputs - (last.resumed if last else 0))
            if last:
                self._settled = self._settled.add_calls(last)
        path.unlink(missing_ok=True)

    def enter_whole(self, inputs: int) -> None:
        """Record that a stage without shards is complete."""
        with self._lock:
            self._settled = replace(self._settled, done=inputs, done_now=inputs)

    def read(self) -> StageLive:
        """Return the current state of the stage."""
        shards = read_shards(self._context.run, self._stage)
        with self._lock:
            sums = self._settled
            shards = [shard for shard in shards if shard.shard not in self._finished]
        for shard in shards:
            sums = sums.add_shard(shard)
        self.endpoints = add_up(endpoint for shard in shards for endpoint in shard.endpoints)
        sums = replace(self._read_usage(sums), at=time.monotonic())
        while len(self._samples) > 1 and sums.at - self._samples[1].at >= WINDOW_SECONDS:
            self._samples.popleft()
        self._samples.append(sums)
        self.latest = self._describe(sums, len(shards), self._describe_calls(sums) if self._budget else None)
        return self.latest

    def _read_usage(self, sums: ProgressSums) -> ProgressSums:
        """Add the values of the run's usage log."""
        if self._budget is None:
            return sums
        usage = self._budget.usage()
        return replace(
            sums,
            prompt_tokens=sum(row.prompt_tokens for row in usage),
            completion_tokens=sum(row.completion_tokens for row in usage),
            cost=sum(row.cost for row in usage),
        )

    def _describe(self, sums: ProgressSums, shards: int, calls: CallsLive | None) -> StageLive:
        rate = self._rate(sums, "done_now")
        return StageLive(
            run=self._context.run.name,
            stage=self._stage,
            unit=self._unit,
            pid=os.getpid(),
            at=time.time(),
            seconds=sums.at - self._before.at,
            total=self._total,
            done=sums.done,
            done_now=sums.done_now,
            rate=rate,
            accepted_share=sums.accepted / sums.judged if sums.judged else None,
            seconds_left=max(0, self._total - sums.done) / rate if self._total is not None and rate else None,
            shards=shards,
            calls=calls,
        )

    def _describe_calls(self, sums: ProgressSums) -> CallsLive:
        caps, before = self._context.config.llm.budget, self._before
        tries = sums.answered + sums.faults
        return CallsLive(
            in_flight=sum(endpoint.in_flight for endpoint in self.endpoints),
            waiting=max((endpoint.waiting for endpoint in self.endpoints), default=0),
            answered=sums.answered,
            rate=self._rate(sums, "answered"),
            fault_share=sums.faults / tries if tries else 0.0,
            prompt_tokens=sums.prompt_tokens - before.prompt_tokens,
            completion_tokens=sums.completion_tokens - before.completion_tokens,
            prompt_rate=self._rate(sums, "prompt_tokens"),
            completion_rate=self._rate(sums, "completion_tokens"),
            stage_cost=sums.cost - before.cost,
            cost=sums.cost,
            cost_cap=caps.money,
            tokens=sums.prompt_tokens + sums.completion_tokens,
            token_cap=caps.tokens,
            stalled=(),
        )

    def _rate(self, sums: ProgressSums, name: str) -> float:
        """Return the rate of a count over the window."""
        first = self._samples[0]
        seconds = sums.at - first.at
        return max(0.0, getattr(sums, name) - getattr(first, name)) / seconds if seconds > 0 else 0.0


def add_up(endpoints: Iterable[EndpointLive]) -> tuple[EndpointLive, ...]:
    """Return each endpoint over all processes that use it."""
    sums: dict[str, EndpointLive] = {}
    for one in endpoints:
        other = sums.get(one.name)
        sums[one.name] = one if other is None else _add(other, one)
    return tuple(sums[name] for name in sorted(sums))


def _add(left: EndpointLive, right: EndpointLive) -> EndpointLive:
    return EndpointLive(
        name=left.name,
        in_flight=left.in_flight + right.in_flight,
        limit=left.limit + right.limit,
        waiting=left.waiting + right.waiting,
        answered=left.answered + right.answered,
        faults=left.faults + right.faults,
        usual_seconds=max(left.usual_seconds, right.usual_seconds),
        last_fault=right.last_fault or left.last_fault,
    )
