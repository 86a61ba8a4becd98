"""run.json: everything that explains a run, written again whenever a stage ends."""

from __future__ import annotations

from collections.abc import Sequence

from flows.chat_models import locate_books, open_budget
from flows.provenance import fingerprint_sources, git_revision, package_versions, rampforge_version
from flows.sources import find_models, find_sources
from flows.stage_table import STAGES
from flows.stages import Workplace
from pipeline.storage.boundary import write_whole
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shard_run import sum_funnel
from pipeline.storage.stage_ledger import digest_manifest
from prompts.library import digest_templates
from schemas.funnel import FunnelStep
from schemas.ledger import RunRecord, StageTiming


def collect_funnel(run: RunFolder) -> tuple[FunnelStep, ...]:
    """The sums of every stage that is finished, in the order of the job."""
    manifests = (run.find_manifest(stage) for stage in STAGES)
    return sum_funnel(step for manifest in manifests if manifest for shard in manifest.shards for step in shard.funnel)


def write_record(place: Workplace, timings: Sequence[StageTiming]) -> RunRecord:
    """Write run.json, adding the timings of this sitting to those of earlier ones."""
    earlier = place.run.find_record()
    manifests = {stage: place.run.find_manifest(stage) for stage in STAGES}
    usage = open_budget(place.run, place.config).usage() if locate_books(place.run).exists() else ()
    record = RunRecord(
        run=place.run.name,
        version=rampforge_version(),
        revision=git_revision(),
        packages=package_versions(),
        config=place.config.model_dump(mode="json"),
        sources=fingerprint_sources(find_sources(place)),
        models=find_models(place),
        prompts=digest_templates(),
        fingerprints={stage: digest_manifest(manifest) for stage, manifest in manifests.items() if manifest},
        funnel=collect_funnel(place.run),
        timings=(*(earlier.timings if earlier else ()), *timings),
        tokens=sum(role.prompt_tokens + role.completion_tokens for role in usage),
        cost=sum(role.cost for role in usage),
    )
    write_whole(place.run.root / "run.json", record.model_dump_json(indent=1).encode())
    return record
