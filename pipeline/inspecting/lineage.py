"""Where a run's data come from: stage after stage, each made from the one before, and whether that still holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from pipeline.storage.run_folder import RunFolder
from pipeline.storage.stage_ledger import digest_manifest
from schemas.ledger import StageManifest


@dataclass(frozen=True, slots=True)
class LineageStep:
    """A finished stage."""

    stage: str
    digest: str
    """Hash of what it made."""
    upstream: str | None
    """The stage that it was made from; None for the first."""
    fits: bool
    """What it was made from lies here still."""
    shards: int
    datasets: tuple[tuple[str, int], ...]
    """What it made: rows by dataset, rejects left out."""


def trace_lineage(run: Path) -> tuple[LineageStep, ...]:
    """The finished stages of a run, each after the one that it was made from."""
    manifests = _read_manifests(RunFolder(run))
    digests = {digest_manifest(manifest): stage for stage, manifest in manifests.items()}
    steps: dict[str, LineageStep] = {}
    while len(steps) < len(manifests):
        left = [stage for stage in manifests if stage not in steps]
        ready = [stage for stage in left if digests.get(manifests[stage].upstream or "") not in left]
        for stage in ready or left:
            steps[stage] = _describe(manifests[stage], digests)
    return tuple(steps.values())


def _read_manifests(run: RunFolder) -> dict[str, StageManifest]:
    manifests = {}
    for folder in sorted((run.root / "ledger").glob("*/manifest.json")):
        try:
            manifest = run.find_manifest(folder.parent.name)
        except (ValidationError, OSError):
            continue
        if manifest is not None:
            manifests[manifest.stage] = manifest
    return manifests


def _describe(manifest: StageManifest, digests: dict[str, str]) -> LineageStep:
    names = dict.fromkeys(file.dataset for shard in manifest.shards for file in shard.files)
    return LineageStep(
        stage=manifest.stage,
        digest=digest_manifest(manifest),
        upstream=digests.get(manifest.upstream or "", manifest.upstream),
        fits=manifest.upstream is None or manifest.upstream in digests,
        shards=len(manifest.shards),
        datasets=tuple((name, manifest.rows(name)) for name in names if name != "rejects"),
    )
