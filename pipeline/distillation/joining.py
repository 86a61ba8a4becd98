"""Union of the runs of several rounds as one judged run, which `export`, `train` and `inspect` read like any other.

Guarantees: rows are those of the rounds, unchanged; shards are named after their round, so that names never clash;
run.json is written last, so that an incomplete union does not count.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from pipeline.distillation.adoption import link_file
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shard_run import sum_funnel
from pipeline.storage.stage_ledger import digest_manifest
from schemas.config import StageName
from schemas.ledger import RunRecord, ShardCommit, StageManifest, StageStart


def join_runs(runs: Sequence[RunFolder], target: RunFolder, stages: Sequence[str]) -> None:
    """Link the shards of some stages of all runs into one; a run without a stage contributes none.

    run.json has the configuration of the last run. A complete union is left unchanged.
    """
    if target.find_record() is not None:
        return
    upstream: str | None = None
    for stage in stages:
        shards = [shard for run in runs for shard in _link_shards(run, target, stage)]
        if shards:
            upstream = _write_stage(target, stage, shards, upstream)
    record = runs[-1].record()
    target.write_record(target.root / "run.json", _write_record(record, target.name, runs))


def digest_runs(runs: Iterable[RunFolder]) -> tuple[str, ...]:
    """Digests of the judgements of some runs, those not yet judged left out."""
    manifests = (run.find_manifest(StageName.JUDGEMENTS) for run in runs)
    return tuple(digest_manifest(manifest) for manifest in manifests if manifest)


def _link_shards(run: RunFolder, target: RunFolder, stage: str) -> list[ShardCommit]:
    manifest = run.find_manifest(stage)
    linked = []
    for commit in manifest.shards if manifest else ():
        shard = f"{run.name}-{commit.shard}"
        files = []
        for file in commit.files:
            path = target.shard(file.dataset, shard, stage)
            link_file(run.dataset(file.dataset) / file.name, path)
            files.append(file.model_copy(update={"name": path.name}))
        linked.append(commit.model_copy(update={"shard": shard, "files": tuple(files)}))
    return linked


def _write_stage(target: RunFolder, stage: str, shards: Sequence[ShardCommit], upstream: str | None) -> str:
    settings = {"joined": json.dumps([shard.shard for shard in shards])}
    for shard in shards:
        target.commit(shard)
    target.write_record(target.ledger(stage) / "stage.json", StageStart(settings=settings, upstream=upstream))
    manifest = StageManifest(stage=stage, settings=settings, upstream=upstream, shards=tuple(shards))
    target.write_record(target.ledger(stage) / "manifest.json", manifest)
    return digest_manifest(manifest)


def _write_record(record: RunRecord, name: str, runs: Sequence[RunFolder]) -> RunRecord:
    records = [run.record() for run in runs]
    return record.model_copy(
        update={
            "run": name,
            "fingerprints": {run.name: digest for run in runs for digest in digest_runs([run])},
            "funnel": sum_funnel(step for one in records for step in one.funnel),
            "timings": (),
            "tokens": sum(one.tokens for one in records),
            "cost": sum(one.cost for one in records),
            "spending": None,
        }
    )
