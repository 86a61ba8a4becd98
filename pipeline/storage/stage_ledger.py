"""Opens and closes a stage's books, and refuses to continue them under other settings.

A stage may be worked on by many processes, each writing the commits of its own shards. What it was started with is
written once; a later sitting must bring the same, or it is told which keys differ.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigError, StorageError
from pipeline.storage.boundary import storage_boundary
from pipeline.storage.hashing import hash_file
from pipeline.storage.run_folder import RunFolder
from schemas.config import RunConfig
from schemas.ledger import StageManifest, StageStart

UNDECIDING = ("search.dense.device", "search.dense.batch")
"""Keys inside sections that decide rows which decide none themselves: where vectors are made, and how many at once."""


def pick_settings(config: RunConfig, decides: Iterable[str]) -> dict[str, str]:
    """The configuration keys named (`section` or `section.key`), flat, each with its value as JSON text; without those
    that decide nothing."""
    values = config.model_dump(mode="json")
    flat: dict[str, str] = {}
    for name in decides:
        section, _, key = name.partition(".")
        _flatten(name, values[section][key] if key else values[section], flat)
    return {key: value for key, value in sorted(flat.items()) if key not in UNDECIDING}


def _flatten(name: str, value: Any, flat: dict[str, str]) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            _flatten(f"{name}.{key}", inner, flat)
    else:
        flat[name] = json.dumps(value, ensure_ascii=False)


def digest_manifest(manifest: StageManifest) -> str:
    """What a finished stage made: a hash over its files' checksums."""
    files = [[f.dataset, f.name, f.sha256] for shard in manifest.shards for f in shard.files]
    return hashlib.sha256(json.dumps(files).encode()).hexdigest()[:20]


def open_stage(run: RunFolder, stage: str, settings: Mapping[str, str], upstream: str | None) -> None:
    """Start or continue a stage. Raises ConfigError when it was started with something else."""
    started = run.find_start(stage)
    if started is None:
        start = StageStart(settings=dict(settings), upstream=upstream)
        run.write_record(run.ledger(stage) / "stage.json", start)
        return
    differing = {
        key: (started.settings.get(key), settings.get(key))
        for key in sorted({*started.settings, *settings})
        if started.settings.get(key) != settings.get(key)
    }
    if differing:
        lines = "; ".join(f"{key} was {old}, now {new}" for key, (old, new) in differing.items())
        raise ConfigError(
            f"{run.location}: stage {stage} was started under another configuration: {lines}",
            f"`rampforge resume {run.location}` goes on as before; `--name OTHER` starts a new run; "
            f"`--redo {stage}` throws away this stage and all after it",
        )
    if started.upstream != upstream:
        raise StorageError(
            f"{run.location}: stage {stage} was made from other shards than those that lie here now",
            f"`--redo {stage}` makes it, and all after it, again",
        )


def close_stage(run: RunFolder, stage: str, shards: Iterable[str], made: Iterable[Path] = ()) -> StageManifest:
    """Write the manifest of a stage whose shards are all committed, and return it. `made`: its other files."""
    commits = {commit.shard: commit for commit in run.commits(stage)}
    missing = [shard for shard in shards if shard not in commits]
    if missing:
        raise StorageError(f"{run.location}: stage {stage} lacks shards {', '.join(missing[:5])}", "resume the run")
    started = run.start(stage)
    manifest = StageManifest(
        stage=stage,
        settings=started.settings,
        upstream=started.upstream,
        shards=tuple(commits[shard] for shard in sorted(commits)),
        files={path.relative_to(run.root).as_posix(): hash_file(path) for path in made},
    )
    run.write_record(run.ledger(stage) / "manifest.json", manifest)
    _remove_journals(run, stage)
    return manifest


def discard_stage(run: RunFolder, stage: str) -> None:
    """Throw away everything a stage has made, its proof first."""
    with storage_boundary(run.root):
        commits = list(run.commits(stage))
        run.remove([run.ledger(stage) / "manifest.json"])
        run.remove(run.ledger(stage) / "shards" / f"{commit.shard}.json" for commit in commits)
        run.remove(run.dataset(file.dataset) / file.name for commit in commits for file in commit.files)
        run.remove_folder(run.ledger(stage))
        _remove_journals(run, stage)


def _remove_journals(run: RunFolder, stage: str) -> None:
    """Nothing in them is owed any more. (A process killed between commit and clean-up leaves its own behind.)"""
    shutil.rmtree(run.journal(stage, "x").parent, ignore_errors=True)
