"""Reader of a run's ledger, file by file, so that a damaged file does not hide the others.

Guarantees: the commit of a shard is read from its own file or, where that is damaged, from the manifest of its stage.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TypeVar

from pipeline.storage.ledger_files import OtherVersionError, decode_record
from pipeline.storage.run_files import RunFiles
from pipeline.storage.stage_ledger import digest_manifest
from schemas.ledger import RunRecord, ShardCommit, SourceList, StageManifest, StageStart
from schemas.record import Frozen
from schemas.verification import FileFault, Part, VerificationFinding

T = TypeVar("T", bound=Frozen)

RECORD = "run.json"
OTHER_VERSION = "use the version of rampforge that wrote it"


@dataclass(slots=True)
class LedgerReading:
    """Readable records and findings."""

    names: set[str] = field(default_factory=set)
    """Paths of the ledger's files, run.json among them."""
    record: RunRecord | None = None
    starts: dict[str, StageStart] = field(default_factory=dict)
    """Starts by stage."""
    manifests: dict[str, StageManifest] = field(default_factory=dict)
    """Manifests by finished stage."""
    found: dict[tuple[str, str], ShardCommit] = field(default_factory=dict)
    """Commits by stage and shard."""
    findings: list[VerificationFinding] = field(default_factory=list)

    @property
    def commits(self) -> list[ShardCommit]:
        """All commits, in order."""
        return [commit for _, commit in sorted(self.found.items())]


def read_ledger(files: RunFiles, sizes: dict[str, int]) -> LedgerReading:
    """The ledger of a run, given all its files with their sizes."""
    ledger = LedgerReading()
    ledger.names.add(RECORD)
    if RECORD in sizes:
        ledger.record = _read(ledger, files, RECORD, RunRecord, Part.RECORD)
    else:
        ledger.findings.append(
            VerificationFinding(file=RECORD, fault=FileFault.MISSING, what="missing", part=Part.RECORD)
        )
    listed = [name for name in sizes if name.startswith("ledger/")]
    for name in listed:
        _read_file(ledger, files, PurePosixPath(name))
    for stage in sorted({PurePosixPath(name).parts[1] for name in listed if name.count("/") > 1}):
        _check_stage(ledger, stage, sizes)
    _check_upstream(ledger)
    return ledger


def _read_file(ledger: LedgerReading, files: RunFiles, path: PurePosixPath) -> None:
    """Read one file, if it is one of the ledger's."""
    name = str(path)
    match path.parts:
        case ("ledger", stage, "stage.json"):
            if start := _read(ledger, files, name, StageStart, Part.START, stage):
                ledger.starts[stage] = start
        case ("ledger", stage, "sources.json"):
            _read(ledger, files, name, SourceList, Part.SOURCES, stage)
        case ("ledger", stage, "manifest.json"):
            if manifest := _read(ledger, files, name, StageManifest, Part.MANIFEST, stage):
                ledger.manifests[stage] = manifest
        case ("ledger", stage, "shards", file) if file.endswith(".json") and not file.startswith("."):
            shard = file.removesuffix(".json")
            commit = _read(ledger, files, name, ShardCommit, Part.COMMIT, stage, shard)
            if commit and (commit.stage, commit.shard) == (stage, shard):
                ledger.found[stage, shard] = commit
            elif commit:
                what = f"is the commit of shard {commit.shard} of stage {commit.stage}, under another name"
                _add(ledger, name, FileFault.DAMAGED, what, Part.COMMIT, stage, shard)


def _read(
    ledger: LedgerReading, files: RunFiles, name: str, model: type[T], part: Part, stage: str = "", shard: str = ""
) -> T | None:
    ledger.names.add(name)
    try:
        return decode_record(files.read(name), model)
    except OtherVersionError as error:
        _add(ledger, name, FileFault.DAMAGED, str(error), Part.OTHER, stage, shard, OTHER_VERSION)
    except (OSError, ValueError) as error:
        _add(ledger, name, FileFault.DAMAGED, str(error), part, stage, shard)
    return None


def _add(
    ledger: LedgerReading,
    name: str,
    fault: FileFault,
    what: str,
    part: Part,
    stage: str,
    shard: str = "",
    fix: str = "",
) -> None:
    ledger.findings.append(
        VerificationFinding(file=name, fault=fault, what=what, part=part, stage=stage, shard=shard, fix=fix)
    )


def _check_stage(ledger: LedgerReading, stage: str, sizes: dict[str, int]) -> None:
    """Compare the files of a stage's ledger with each other."""
    folder = f"ledger/{stage}"
    manifest, start = ledger.manifests.get(stage), ledger.starts.get(stage)
    begun = manifest is not None or any(found == stage for found, _ in ledger.found)
    if begun and f"{folder}/stage.json" not in sizes:
        ledger.names.add(f"{folder}/stage.json")
        _add(ledger, f"{folder}/stage.json", FileFault.MISSING, "missing", Part.START, stage)
    if manifest is None:
        return
    if start and (start.settings, start.upstream) != (manifest.settings, manifest.upstream):
        _add(ledger, f"{folder}/stage.json", FileFault.DAMAGED, "is not what manifest.json says", Part.START, stage)
    for commit in manifest.shards:
        name = f"{folder}/shards/{commit.shard}.json"
        ledger.names.add(name)
        own = ledger.found.setdefault((stage, commit.shard), commit)
        if own != commit:
            _add(ledger, name, FileFault.DAMAGED, "is not what manifest.json says", Part.COMMIT, stage, commit.shard)
        elif name not in sizes:
            _add(ledger, name, FileFault.MISSING, "missing", Part.COMMIT, stage, commit.shard)


def _check_upstream(ledger: LedgerReading) -> None:
    """Report the finished stages that were made from other shards than the run has now."""
    if any(finding.part is Part.MANIFEST and not finding.harmless for finding in ledger.findings):
        return
    digests = {digest_manifest(manifest) for manifest in ledger.manifests.values()}
    for stage, manifest in ledger.manifests.items():
        if manifest.upstream is not None and manifest.upstream not in digests:
            what = f"stage {stage} was made from other shards than the run holds now"
            _add(ledger, f"ledger/{stage}/manifest.json", FileFault.OUTDATED, what, Part.OTHER, stage)
