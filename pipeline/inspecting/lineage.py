"""Where a run's data come from: stage after stage, each made from the one before, and whether that still holds; and the
exports that were made from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from pipeline.errors import StorageError
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.stage_ledger import digest_manifest
from schemas.judgements import Judgement
from schemas.ledger import RunRecord, StageManifest

CARD_BYTES = 100_000
MOST_CARDS = 500


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


def find_exports(root: Path, record: RunRecord | None) -> tuple[str, ...]:
    """Folders under `root` whose dataset card names this run's judgements: their paths, counted from there."""
    digest = record.fingerprints.get(Judgement.dataset) if record else None
    if digest is None:
        return ()
    line = f"| fingerprint {Judgement.dataset} | {digest} |"
    cards = (card for pattern in ("*/README.md", "*/*/README.md") for card in sorted(root.glob(pattern)))
    return tuple(
        card.parent.relative_to(root).as_posix() for card in islice(cards, MOST_CARDS) if line in _read_start(card)
    )


def _read_start(card: Path) -> str:
    try:
        with card.open("rb") as file:
            return file.read(CARD_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""


def _read_manifests(run: RunFolder) -> dict[str, StageManifest]:
    manifests = {}
    for folder in sorted((run.root / "ledger").glob("*/manifest.json")):
        try:
            manifest = run.find_manifest(folder.parent.name)
        except StorageError:
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
