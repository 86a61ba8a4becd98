"""Lineage of a run: its stages, whether each one's input still exists, and the exports made from it."""

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
MAX_CARDS = 500


@dataclass(frozen=True, slots=True)
class LineageStep:
    """Finished stage."""

    stage: str
    digest: str
    """Digest of its manifest."""
    upstream: str | None
    """Stage whose output it read; None for the first."""
    is_current: bool
    """Whether its input still exists."""
    datasets: tuple[tuple[str, int], ...]
    """Rows by dataset, rejects left out."""


def trace_lineage(run: Path) -> tuple[LineageStep, ...]:
    """The finished stages of a run, each after its input."""
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
    """Relative paths of the folders under `root` whose dataset card names this run's judgements."""
    digest = record.fingerprints.get(Judgement.dataset) if record else None
    if digest is None:
        return ()
    line = f"| fingerprint {Judgement.dataset} | {digest} |"
    cards = (card for pattern in ("*/README.md", "*/*/README.md") for card in sorted(root.glob(pattern)))
    return tuple(
        card.parent.relative_to(root).as_posix() for card in islice(cards, MAX_CARDS) if line in _read_start(card)
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
        is_current=manifest.upstream is None or manifest.upstream in digests,
        datasets=tuple((name, manifest.rows(name)) for name in names if name != "rejects"),
    )
