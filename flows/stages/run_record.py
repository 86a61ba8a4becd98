"""run.json: everything that explains a run, written again whenever a stage ends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from flows.configuration.prompt_folder import use_prompts
from flows.configuration.provenance import fingerprint_sources, git_revision, package_versions, rampforge_version
from flows.configuration.run_context import RunContext
from flows.configuration.source_ledger import describe_sources
from flows.configuration.sources import find_models, find_sources
from flows.models.usage import locate_usage_log, open_budget
from flows.stages.inputs import find_import
from flows.stages.registry import STAGES
from flows.stages.round_tasks import find_plan
from pipeline.planning.spending import count_accepted, sum_spending
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shard_run import sum_funnel
from pipeline.storage.stage_ledger import digest_manifest
from prompts.library import digest_templates
from schemas.config import StageName
from schemas.funnel import FunnelStep
from schemas.ledger import RunRecord, StageTiming
from schemas.spending import RunSpending

ENGINE = "engine"
"""Name of the search engine's fingerprint, in the facts of the trajectories and in run.json."""


def collect_funnel(run: RunFolder) -> tuple[FunnelStep, ...]:
    """The sums of every stage that is finished, in the order of the job."""
    manifests = (run.find_manifest(stage) for stage in STAGES)
    return sum_funnel(step for manifest in manifests if manifest for shard in manifest.shards for step in shard.funnel)


def collect_spending(context: RunContext, funnel: Iterable[FunnelStep]) -> RunSpending | None:
    """What the calls of a run have cost so far, and what that is for each accepted trajectory; None before any call."""
    if not locate_usage_log(context.run).exists():
        return None
    budget = open_budget(context)
    return sum_spending(budget.usage(), budget.busy_seconds, budget.prices, count_accepted(funnel))


def name_engine(run: RunFolder) -> dict[str, str]:
    """The fingerprint of the engine that the trajectories were made with, once they are."""
    manifest = run.find_manifest(StageName.TRAJECTORIES)
    return {ENGINE: manifest.settings[ENGINE]} if manifest and ENGINE in manifest.settings else {}


def list_made_with(run: RunFolder) -> dict[str, dict[str, str]]:
    """For each finished stage the versions that made its rows; several of one package are parted by a comma."""
    made: dict[str, dict[str, str]] = {}
    for stage in STAGES:
        manifest = run.find_manifest(stage)
        if manifest is None:
            continue
        used: dict[str, dict[str, None]] = {}
        for versions in [shard.versions for shard in manifest.shards] or [run.start(stage).versions]:
            for package, version in versions.items():
                used.setdefault(package, {})[version] = None
        made[stage] = {package: ", ".join(versions) for package, versions in used.items()}
    return made


def _count_asked(context: RunContext) -> int | None:
    plan = find_plan(context.run)
    return plan.tasks if plan else context.config.masking.limit


def write_record(context: RunContext, timings: Sequence[StageTiming]) -> RunRecord:
    """Write run.json, adding the timings of this session to those of earlier ones; stages that were discarded since
    have none.
    """
    earlier = context.run.find_record()
    manifests = {stage: context.run.find_manifest(stage) for stage in STAGES}
    finished = {stage for stage, manifest in manifests.items() if manifest}
    kept = [timing for timing in earlier.timings if timing.stage in finished] if earlier else []
    funnel = collect_funnel(context.run)
    spending = collect_spending(context, funnel)
    prompts, imported = digest_templates() | use_prompts(context.config), find_import(context.run)
    record = RunRecord(
        run=context.run.name,
        version=rampforge_version(),
        revision=git_revision(),
        packages=package_versions(),
        made_with=list_made_with(context.run),
        config=context.config.model_dump(mode="json"),
        sources=describe_sources(context.run) or fingerprint_sources(find_sources(context)),
        models=find_models(context),
        prompts={} if imported and context.config.judging.judge != "llm" else prompts,
        asked_tasks=None if imported else _count_asked(context),
        imported=imported,
        fingerprints={stage: digest_manifest(manifest) for stage, manifest in manifests.items() if manifest}
        | name_engine(context.run),
        funnel=funnel,
        timings=(*kept, *timings),
        tokens=sum(role.prompt_tokens + role.completion_tokens for role in spending.roles) if spending else 0,
        cost=sum(role.cost for role in spending.roles) if spending else 0.0,
        day=(earlier.day if earlier else None) or date.today(),
        spending=spending,
    )
    context.run.write_record(context.run.root / "run.json", record)
    return record
