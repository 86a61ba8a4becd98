"""Work of a worker process: one shard of one stage. Takes plain values, returns the shard's commit."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.configuration.prompt_folder import use_prompts
from flows.configuration.provenance import stage_provenance
from flows.configuration.run_context import ProcessResources, RunContext
from flows.models.tracing import trace_shard
from flows.monitoring.shard_heartbeat import ShardHeartbeat, count_lines
from flows.process.interruption import INTERRUPTION
from flows.process.logs import at_place
from flows.stages.library_versions import list_versions
from flows.stages.registry import find_spec
from flows.stages.spec import StageSpec
from pipeline.corpus.readers.raw_page import RawPage
from pipeline.llm.async_stage import AsyncStage
from pipeline.stage import Outcome, Stage
from pipeline.storage.remote.open_run import open_run
from pipeline.storage.shard_run import ShardPlan, run_shard
from schemas.config import RunConfig, StageName
from schemas.ledger import ShardCommit

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ShardReport:
    """Finished shard, with the time spent in the stage's own functions."""

    commit: ShardCommit
    work_seconds: float


class TimedStage:
    """Stage whose own time is measured, without reading inputs and writing outcomes."""

    def __init__(self, stage: Stage[Any], note: Callable[[Outcome], None]) -> None:
        """`note` is called with each outcome after it was stored."""
        self._stage = stage
        self._note = note
        self._outcomes: Iterator[Outcome] = iter(())
        self.whole_shard = stage.whole_shard
        self.seconds = 0.0

    def run(self, inputs: Iterable[Any]) -> Iterator[Outcome]:
        """Return the stage's outcomes, unchanged."""
        self._outcomes = iter(self._stage.run(self._unclocked(inputs)))
        while True:
            started = time.perf_counter()
            outcome = next(self._outcomes, None)
            self.seconds += time.perf_counter() - started
            if outcome is None:
                return
            yield outcome
            self._note(outcome)

    def close(self) -> None:
        """Stop the stage where it is; a stage with language models waits for the calls in flight."""
        if isinstance(self._outcomes, Generator):
            self._outcomes.close()

    def _unclocked(self, inputs: Iterable[Any]) -> Iterator[Any]:
        items = iter(inputs)
        while True:
            started = time.perf_counter()
            item = next(items, None)
            self.seconds -= time.perf_counter() - started
            if item is None:
                return
            yield item


RESOURCES = ProcessResources()
"""Those of this process."""


def _open_context(run: str, config: RunConfig, cache: Path) -> RunContext:
    use_prompts(config)
    return RunContext(open_run(run, cache, config.store), config, cache, RESOURCES)


def prepare_stage(stage: str, run: str, config: RunConfig, cache: Path) -> float:
    """Do a stage's work that precedes its shards; return the seconds it took."""
    spec = find_spec(stage)
    started = time.perf_counter()
    if spec.prepare is not None:
        with INTERRUPTION.at_work():
            spec.prepare(_open_context(run, config, cache))
    return time.perf_counter() - started


def work_shard(stage: str, run: str, shard: str, config: RunConfig, cache: Path) -> ShardReport:
    """Run one shard of a stage."""
    context = _open_context(run, config, cache)
    spec = find_spec(stage)
    if spec.open is None or spec.read is None:
        raise TypeError(f"stage {stage} has no shards")
    with INTERRUPTION.at_work():
        return run_timed(spec, context, shard, spec.open(context, shard), spec.read(context, shard))


def clean_pages(run: str, shard: str, config: RunConfig, cache: Path, pages: list[RawPage]) -> ShardReport:
    """Make one shard of documents from pages that were read in another process."""
    from pipeline.corpus.document_stage import DocumentStage

    context = _open_context(run, config, cache)
    with INTERRUPTION.at_work():
        return run_timed(find_spec(StageName.CORPUS), context, shard, DocumentStage(config.corpus), pages)


def run_timed(
    spec: StageSpec, context: RunContext, shard: str, stage: Stage[Any], inputs: Iterable[Any]
) -> ShardReport:
    """Run an open stage over inputs in memory."""
    outputs = (*spec.outputs, *(spec.optional_outputs if spec.writes_optional(context.config) else ()))
    versions = list_versions(spec.packages(context.config))
    plan = ShardPlan(context.run, spec.name, shard, outputs, stage_provenance(context.run, spec.name), versions)
    resumed = 0 if stage.whole_shard else count_lines(context.run.journal(spec.name, shard))
    model_stage = stage if isinstance(stage, AsyncStage) else None
    reporter = ShardHeartbeat(
        context.run, spec.name, shard, spec.unit, resumed, model_stage.load if model_stage else None
    )
    timed = TimedStage(stage, reporter.note)
    with ExitStack() as stack:
        stack.enter_context(at_place(run=context.run.name, stage=spec.name, shard=shard))
        stack.enter_context(reporter)
        if model_stage:
            stack.enter_context(trace_shard(context, spec.name, shard))
            stack.enter_context(INTERRUPTION.asking())
        stack.callback(timed.close)
        commit = run_shard(plan, timed, inputs)
        log.info("finished: %d inputs, %.1f s of work", commit.inputs, timed.seconds)
    return ShardReport(commit, timed.seconds)
