"""Repair of a run: removes damaged files, so that resuming makes them again; records that exist twice are restored.

Guarantees: files in no ledger and sound shards are never touched; after a kill at any moment a second repair has the
same result, since a record is removed before the files that it lists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from pipeline.errors import StorageError
from pipeline.storage.files import write_atomically
from pipeline.storage.remote.mirror import FILES
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.stage_ledger import discard_stage
from pipeline.storage.verification.files import is_sound
from schemas.config import RunConfig
from schemas.ledger import RunRecord, StageManifest, StageStart
from schemas.verification import FileFault, Part, VerificationFinding

ORDER = (Part.LOG, Part.SOURCES, Part.COMMIT, Part.MANIFEST, Part.START, Part.SHARD, Part.MADE, Part.INDEX)
"""Parts that can be repaired, each after the parts that it is restored from."""


def repair_run(run: RunFolder, findings: Iterable[VerificationFinding], config: RunConfig | None = None) -> list[str]:
    """Repair or discard the findings; the actions, a line each. To be called with the run held.

    `config`: for a new run.json. Raises StorageError when nothing can be written.
    """
    harmful = [finding for finding in findings if not finding.harmless]
    lost = any(finding.part is Part.RECORD for finding in harmful)
    done = [_write_record(run, config or RunConfig())] if lost else []  # first: it is made from what is discarded next
    done += [
        MENDERS[part](run, finding)
        for part in ORDER
        for finding in harmful
        if finding.part is part and finding.fault is not FileFault.OUTDATED
    ]
    for finding in harmful:
        if finding.fault is FileFault.OUTDATED:
            discard_stage(run, finding.stage)
            done.append(f"discarded stage {finding.stage}: it was made from other shards")
    return list(dict.fromkeys(done))


def _mend_log(run: RunFolder, finding: VerificationFinding) -> str:
    """Overwrite damaged lines with blanks: offsets stay, because pieces of a log on a store are named by them."""
    path = run.root / finding.file
    if run.mirror:
        run.mirror.store.write(finding.file, _blank(run.mirror.store.read(finding.file) or b""))
        path = path.parent  # the log itself, of which the object is a piece
    if path.is_file():
        write_atomically(path, _blank(path.read_bytes()))
    return f"dropped the damaged lines of {finding.file}"


def _blank(content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    return b"".join(line if is_sound(line) else b" " * (len(line) - 1) + b"\n" for line in lines)


def _write_record(run: RunFolder, config: RunConfig) -> str:
    """Write a run.json to resume with; its sums and versions are updated by the run."""
    run.write_record(
        run.root / "run.json",
        RunRecord(
            run=run.name, version="unknown", revision=None, packages={}, config=config.model_dump(mode="json"),
            sources={}, models={}, prompts={}, fingerprints={}, funnel=(), timings=(), tokens=0, cost=0.0,
        ),
    )  # fmt: skip
    return "wrote run.json anew from ledgers and shards; settings that decide no row are the defaults again"


def _mend_commit(run: RunFolder, finding: VerificationFinding) -> str:
    manifest = _find_sound_manifest(run, finding.stage)
    known = [commit for commit in manifest.shards if commit.shard == finding.shard] if manifest else []
    path = run.root / finding.file
    if known and path == run.commit_path(finding.stage, finding.shard):
        run.write_record(path, known[0])
        return f"restored {finding.file} from manifest.json"
    run.remove([_name_manifest(run, finding.stage), path])
    return f"discarded {finding.file}: shard {finding.shard} of stage {finding.stage} is to be made again"


def _mend_manifest(run: RunFolder, finding: VerificationFinding) -> str:
    run.remove([run.root / finding.file])
    return f"discarded {finding.file}: resuming writes it from the commits"


def _mend_sources(run: RunFolder, finding: VerificationFinding) -> str:
    run.remove([run.root / finding.file])
    return f"discarded {finding.file}: sources are known by size and edges, as stage.json has them, until read again"


def _mend_start(run: RunFolder, finding: VerificationFinding) -> str:
    manifest = _find_sound_manifest(run, finding.stage)
    if manifest is None:
        discard_stage(run, finding.stage)
        return f"discarded stage {finding.stage}: nothing tells what it was started with"
    versions = manifest.shards[0].versions if manifest.shards else {}
    start = StageStart(settings=manifest.settings, upstream=manifest.upstream, versions=versions)
    run.write_record(run.root / finding.file, start)
    return f"restored {finding.file} from manifest.json"


def _mend_shard(run: RunFolder, finding: VerificationFinding) -> str:
    commit = run.commit_path(finding.stage, finding.shard)
    run.remove([_name_manifest(run, finding.stage), commit, run.root / finding.file])
    return f"discarded {finding.file}: shard {finding.shard} of stage {finding.stage} is to be made again"


def _mend_made(run: RunFolder, finding: VerificationFinding) -> str:
    run.remove([_name_manifest(run, finding.stage), run.root / finding.file])
    return f"discarded {finding.file}: stage {finding.stage} is to make it again"


def _mend_index(run: RunFolder, finding: VerificationFinding) -> str:
    part = PurePosixPath(finding.file).parts[1]
    run.remove([_name_manifest(run, finding.stage), run.index / FILES])
    run.remove_folder(run.index / part)
    return f"discarded index/{part}: it is to be built again"


MENDERS: dict[Part, Callable[[RunFolder, VerificationFinding], str]] = {
    Part.LOG: _mend_log,
    Part.SOURCES: _mend_sources,
    Part.COMMIT: _mend_commit,
    Part.MANIFEST: _mend_manifest,
    Part.START: _mend_start,
    Part.SHARD: _mend_shard,
    Part.MADE: _mend_made,
    Part.INDEX: _mend_index,
}


def _name_manifest(run: RunFolder, stage: str) -> Path:
    return run.ledger(stage) / "manifest.json"


def _find_sound_manifest(run: RunFolder, stage: str) -> StageManifest | None:
    try:
        return run.find_manifest(stage)
    except StorageError:
        return None
