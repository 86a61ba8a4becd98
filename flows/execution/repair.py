"""Repair of a run that `rampforge verify` found damaged: discards damaged files, and makes them
again as `resume` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from flows.configuration.cache import cache_folder
from flows.configuration.recalled_config import recall_config, recover_config
from flows.execution.run import start_job
from flows.stages.registry import STAGES, find_spec
from pipeline.errors import StorageError
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.stage_ledger import digest_manifest, discard_stage
from pipeline.storage.verification.repair import repair_run
from schemas.verification import Part, Verification


def repair_and_resume(run: RunFolder, found: Verification, owner: str) -> Iterator[str]:
    """Repair a run; yield a line for each action. Only stages that were started are finished.

    If a stage has other results than before, the stages made from it are made again too. Raises RampforgeError.
    """
    begun = _list_begun(run, found)
    forgotten = any(one.part is Part.RECORD and not one.harmless for one in found.findings)
    with run.locked(owner):
        yield from repair_run(run, found.findings, recover_config(run) if forgotten else None)
    config = recall_config(run)
    begun = [stage for stage in begun if find_spec(stage).enabled(config)]
    while unfinished := [stage for stage in begun if stage not in _read_digests(run)]:
        stopped = None
        try:
            start_job(run.location, config, cache_folder(), unfinished)
            yield f"{run.location}: made again the discarded parts of {', '.join(unfinished)}"
        except StorageError as error:
            stopped = error  # except when a stage has other bytes now
        with run.locked(owner):
            outdated = _list_outdated(run, begun)
            for stage in outdated:
                discard_stage(run, stage)
                yield f"discarded stage {stage}: its inputs have other bytes now"
        if stopped and not outdated:
            raise stopped


def _list_outdated(run: RunFolder, stages: Iterable[str]) -> list[str]:
    """Return the stages whose inputs are in no finished stage and are not being made again."""
    digests = _read_digests(run)
    outdated = []
    for stage in stages:
        start, inputs = run.find_start(stage), find_spec(stage).inputs
        if start and inputs and inputs[0] in digests and start.upstream != digests[inputs[0]]:
            outdated.append(stage)
    return outdated


def _list_begun(run: RunFolder, found: Verification) -> list[str]:
    """Return the started stages, in the order of the pipeline."""
    damaged = {finding.stage for finding in found.findings}
    return [stage for stage in STAGES if stage in damaged or stage in run.stages()]


def _read_digests(run: RunFolder) -> dict[str, str]:
    """Return the digest of each finished stage whose manifest is readable."""
    digests = {}
    for stage in run.stages():
        try:
            manifest = run.find_manifest(stage)
        except StorageError:
            continue
        if manifest:
            digests[stage] = digest_manifest(manifest)
    return digests
