"""Runs a stage over one shard: journal, commit, resume.

Guarantees: after `kill -9` at any moment a rerun repeats only what was in flight; no row is missing or duplicated; the
bytes of the shard do not depend on how often it was interrupted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from pipeline.errors import StorageError
from pipeline.stage import Stage
from pipeline.storage.files import wrap_os_errors
from pipeline.storage.journal import Journal
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shards import ShardWriter
from schemas.funnel import FunnelStep, Reject
from schemas.ledger import ShardCommit
from schemas.record import Record


class Keyed(Protocol):
    """An input with an id."""

    @property
    def key(self) -> str:
        """The id."""


Item = TypeVar("Item", bound=Keyed)


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """Identity and outputs of a shard's work."""

    run: RunFolder
    stage: str
    shard: str
    outputs: tuple[type[Record], ...]
    """Models of the datasets that the stage writes, besides rejects."""
    provenance: Mapping[str, str]
    """Written into every file's metadata; the same for the same inputs."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Versions of rampforge and of the packages that the rows depend on."""

    @property
    def models(self) -> Mapping[str, type[Record]]:
        """Models of all datasets written, with rejects, by name."""
        written: tuple[type[Record], ...] = (*self.outputs, Reject)
        return {model.dataset: model for model in written}


def run_shard(plan: ShardPlan, stage: Stage[Item], inputs: Iterable[Item]) -> ShardCommit:
    """Finish a shard, from its current state, and return its commit."""
    if commit := plan.run.find_commit(plan.stage, plan.shard):
        return commit
    with Journal(plan.run.journal(plan.stage, plan.shard)) as journal:
        if stage.whole_shard:
            journal.clear()
        order: dict[str, int] = {}
        for outcome in stage.run(_select_pending(inputs, journal.keys, order)):
            journal.record(outcome)
        commit = _commit(plan, journal, order)
        journal.delete()
    return commit


def _select_pending(inputs: Iterable[Item], done: frozenset[str], order: dict[str, int]) -> Iterator[Item]:
    """The inputs without an outcome. The occurrences of each key are counted in `order`."""
    for item in inputs:
        order[item.key] = order.get(item.key, 0) + 1
        if order[item.key] == 1 and item.key not in done:
            yield item


def _commit(plan: ShardPlan, journal: Journal, order: dict[str, int]) -> ShardCommit:
    """Turn the journal into Parquet files, then write the commit."""
    missing = [key for key in order if key not in journal.keys]
    if missing:
        raise StorageError(f"{plan.stage}: no outcome for {len(missing)} inputs of {plan.shard}, first {missing[0]}")
    steps: dict[tuple[str, str], FunnelStep] = {}
    with ExitStack() as stack:
        writers: dict[str, ShardWriter] = {}
        for dataset, model in plan.models.items():
            path = plan.run.shard(dataset, plan.shard, plan.stage)
            with wrap_os_errors(path):
                writers[dataset] = stack.enter_context(ShardWriter(path.parent, path.name, model, plan.provenance))
        with wrap_os_errors(plan.run.root):
            for outcome in journal.read_outcomes(order):
                for dataset, row in outcome.rows:
                    writers[dataset].append(row)
                for raw in outcome.funnel:
                    _add_step(steps, FunnelStep.model_validate(raw))
            for key, times in order.items():
                _reject_repeats(plan.stage, key, times - 1, writers[Reject.dataset], steps)
            files = tuple(writer.close() for writer in writers.values())
    commit = ShardCommit(
        stage=plan.stage,
        shard=plan.shard,
        inputs=sum(order.values()),
        files=files,
        funnel=tuple(steps.values()),
        versions=dict(plan.versions),
    )
    plan.run.commit(commit)
    return commit


def _reject_repeats(
    stage: str, key: str, repeats: int, rejects: ShardWriter, steps: dict[tuple[str, str], FunnelStep]
) -> None:
    """Reject the repeats of a key: the same key is the same content, processed once."""
    for _ in range(repeats):
        rejects.append(Reject(stage=stage, unit="input", input_id=key, reason="repeated", detail="").model_dump())
        _add_step(steps, FunnelStep(stage=stage, unit="input", entered=1, passed=0, rejected={"repeated": 1}))


def _add_step(steps: dict[tuple[str, str], FunnelStep], step: FunnelStep) -> None:
    key = (step.stage, step.unit)
    steps[key] = steps[key] + step if key in steps else step


def sum_funnel(steps: Iterable[FunnelStep]) -> tuple[FunnelStep, ...]:
    """The sums of the steps of many shards, in the order in which units first appear."""
    sums: dict[tuple[str, str], FunnelStep] = {}
    for step in steps:
        _add_step(sums, step)
    return tuple(sums.values())
