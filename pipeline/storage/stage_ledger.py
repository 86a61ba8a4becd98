"""The ledger of a stage, opened and closed; settings other than those it was started with are refused.

A stage may be worked on by many processes, each writing the commits of its own shards. What it was started with binds
it as soon as anything it made is on record: from then on the same must be given, or the keys that differ are named.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigError, StorageError
from pipeline.storage.files import wrap_os_errors
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


_DEFAULTS = pick_settings(RunConfig(), RunConfig.model_fields)
"""Every key of the configuration with its default: what a key stood for before it existed."""


def digest_manifest(manifest: StageManifest) -> str:
    """What a finished stage made: a hash over its files' checksums."""
    files = [[f.dataset, f.name, f.sha256] for shard in manifest.shards for f in shard.files]
    return hashlib.sha256(json.dumps(files).encode()).hexdigest()[:20]


def holds_work(run: RunFolder, stage: str) -> bool:
    """Whether anything that a stage made is on record: a commit, or a line of a journal."""
    if run.find_manifest(stage) is not None or next(run.commits(stage), None) is not None:
        return True
    return any(path.stat().st_size for path in _find_journals(run, stage).glob("*"))


def open_stage(
    run: RunFolder,
    stage: str,
    settings: Mapping[str, str],
    upstream: str | None,
    versions: Mapping[str, str] | None = None,
    partial: bool = False,
) -> None:
    """Start or continue a stage. One of which nothing is on record yet is started anew, under the settings given.

    Args:
        run: The run.
        stage: The stage.
        settings: What decides its rows.
        upstream: Digest of what it is made from.
        versions: Versions of what decides its rows.
        partial: Whether `settings` leave out keys of the configuration that do not matter under the others.

    Raises ConfigError when it was started with something else.
    """
    started = run.find_start(stage)
    if started is not None and holds_work(run, stage):
        check_start(run, stage, started, settings, partial)
        check_upstream(run, stage, started, upstream)
        return
    start = StageStart(settings=dict(settings), upstream=upstream, versions=dict(versions or {}))
    if start != started:
        run.write_record(run.ledger(stage) / "stage.json", start)


def check_start(
    run: RunFolder,
    stage: str,
    started: StageStart,
    settings: Mapping[str, str],
    partial: bool = False,
) -> None:
    """Raise ConfigError, naming the keys that differ, when a stage was started with other settings."""
    differing = find_differences(started, settings, partial)
    if not differing:
        return
    lines = "; ".join(f"{key} was {old}, now {new}" for key, (old, new) in differing.items())
    raise ConfigError(
        f"{run.location}: stage {stage} was made under another configuration: {lines}",
        f"`--name OTHER` starts a new run; `rampforge resume {run.location}` continues this one as it was configured; "
        f"`--redo {stage}` discards this stage and all after it",
    )


def check_upstream(run: RunFolder, stage: str, started: StageStart, upstream: str | None) -> None:
    """Raise StorageError when a stage was made from other shards."""
    if started.upstream != upstream:
        raise StorageError(
            f"{run.location}: stage {stage} was made from other shards than those that are here now",
            f"`--redo {stage}` makes it, and all after it, again",
        )


def find_differences(
    started: StageStart, settings: Mapping[str, str], partial: bool
) -> dict[str, tuple[str | None, str | None]]:
    """What decides a stage's rows and is not what it was started with: before and now.

    With `partial`, a key of the configuration that is missing on one side decides nothing under that side's other keys.
    """
    then = started.settings
    keys = sorted({*then, *settings})
    differing = {key: (then.get(key), settings.get(key)) for key in keys if then.get(key) != settings.get(key)}
    if not partial:
        return differing
    of_config = {key for key in differing if key.partition(".")[0] in RunConfig.model_fields}
    told = {key: differing[key] for key in of_config if _matters(key, *differing[key])}
    for key, (old, new) in differing.items():
        # A model or file that comes or goes with a key of the configuration is no news beside it.
        if key not in of_config and not (told and None in (old, new)):
            told[key] = old, new
    return dict(sorted(told.items()))


def _matters(key: str, old: str | None, new: str | None) -> bool:
    """Whether a key of the configuration that differs decided, or decides, anything."""
    return new is not None and (old is not None or new != _DEFAULTS.get(key))


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
    with wrap_os_errors(run.root):
        commits = list(run.commits(stage))
        run.remove([run.ledger(stage) / "manifest.json"])
        run.remove(run.ledger(stage) / "shards" / f"{commit.shard}.json" for commit in commits)
        run.remove(run.dataset(file.dataset) / file.name for commit in commits for file in commit.files)
        run.remove_folder(run.ledger(stage))
        _remove_journals(run, stage)


def _remove_journals(run: RunFolder, stage: str) -> None:
    """Nothing in them is owed any more. (A process killed between commit and clean-up leaves its own behind.)"""
    shutil.rmtree(_find_journals(run, stage), ignore_errors=True)


def _find_journals(run: RunFolder, stage: str) -> Path:
    return run.journal(stage, "x").parent
