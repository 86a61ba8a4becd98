"""The ledger of a stage, opened and closed.

Several processes may work on a stage, each writing the commits of its own shards. Once a stage has a commit or a
journal line, other settings than those it was started with are refused, with the keys that differ.
"""

from __future__ import annotations

import hashlib
import json
import shlex
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
"""Keys that rows do not depend on, in sections that they depend on: the device and the batch of the encoder."""


def pick_settings(config: RunConfig, names: Iterable[str]) -> dict[str, str]:
    """The named configuration keys (`section` or `section.key`), flat, each with its value as JSON text; without those
    that rows do not depend on."""
    values = config.model_dump(mode="json")
    flat: dict[str, str] = {}
    for name in names:
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
"""Every key of the configuration with its default, which is also its value before the key existed."""


def digest_manifest(manifest: StageManifest) -> str:
    """A hash over the checksums of a finished stage's files."""
    files = [[f.dataset, f.name, f.sha256] for shard in manifest.shards for f in shard.files]
    return hashlib.sha256(json.dumps(files).encode()).hexdigest()[:20]


def holds_work(run: RunFolder, stage: str) -> bool:
    """Whether a stage has a commit or a line in a journal."""
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
    """Start or continue a stage; without commits and journal lines it is started anew, under the given settings.

    Args:
        run: The run.
        stage: The stage.
        settings: Settings that its rows depend on.
        upstream: Digest of its inputs.
        versions: Versions of the packages that its rows depend on.
        partial: Whether `settings` lack configuration keys without effect under the others.

    Raises ConfigError for other settings than at its start.
    """
    started = run.find_start(stage)
    if started is not None and holds_work(run, stage):
        check_start(run, stage, started, settings, partial)
        check_upstream(run, stage, started, upstream)
        return
    start = StageStart(settings=dict(settings), upstream=upstream, versions=dict(versions or {}))
    if start != started:
        run.write_record(run.ledger(stage) / "stage.json", start)


def check_start(run: RunFolder, stage: str, started: StageStart, settings: Mapping[str, str], partial: bool) -> None:
    """Raise ConfigError, with the keys that differ, when a stage was started with other settings."""
    differing = find_differences(started, settings, partial)
    if not differing:
        return
    lines = "; ".join(
        f"{key} was {old or 'not recorded'}, now {new or 'not recorded'}" for key, (old, new) in differing.items()
    )
    goes_on = f"`rampforge resume {run.location}` continues this one as it was configured"
    if any(None in pair for pair in differing.values()):
        goes_on = "the rampforge that made this one continues it, where a setting is new or was renamed since"
    raise ConfigError(
        f"{run.location}: stage {stage} was made under another configuration: {lines}",
        f"`--name OTHER` starts a new run; {goes_on}; `--redo {stage}` discards this stage and all after it",
    )


def check_upstream(run: RunFolder, stage: str, started: StageStart, upstream: str | None) -> None:
    """Raise StorageError when a stage was made from other shards."""
    if started.upstream != upstream:
        raise StorageError(
            f"{run.location}: stage {stage} was made from other shards than those that are here now",
            f"`rampforge resume {shlex.quote(run.location)} --redo {stage}` makes it, and all after it, again",
        )


def find_differences(
    started: StageStart, settings: Mapping[str, str], partial: bool
) -> dict[str, tuple[str | None, str | None]]:
    """Settings that differ from those at the start of a stage: the value then and now.

    With `partial`, a configuration key that is missing on one side has no effect under that side's other keys.
    """
    then = started.settings
    keys = sorted({*then, *settings})
    differing = {key: (then.get(key), settings.get(key)) for key in keys if then.get(key) != settings.get(key)}
    if not partial:
        return differing
    of_config = {key for key in differing if key.partition(".")[0] in RunConfig.model_fields}
    effective = {key: differing[key] for key in of_config if _matters(key, *differing[key])}
    for key, (old, new) in differing.items():
        # A model or file that appears with a configuration key is implied by it.
        if key not in of_config and not (effective and None in (old, new)):
            effective[key] = old, new
    return dict(sorted(effective.items()))


def _matters(key: str, old: str | None, new: str | None) -> bool:
    """Whether a configuration key that differs has, or had, an effect."""
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
    """Remove everything that a stage has made, its manifest and commits first."""
    with wrap_os_errors(run.root):
        commits = list(run.commits(stage))
        run.remove([run.ledger(stage) / "manifest.json"])
        run.remove(run.ledger(stage) / "shards" / f"{commit.shard}.json" for commit in commits)
        run.remove(run.dataset(file.dataset) / file.name for commit in commits for file in commit.files)
        run.remove_folder(run.ledger(stage))
        _remove_journals(run, stage)


def _remove_journals(run: RunFolder, stage: str) -> None:
    """Remove the journals of a stage, also those of processes killed between commit and clean-up."""
    shutil.rmtree(_find_journals(run, stage), ignore_errors=True)


def _find_journals(run: RunFolder, stage: str) -> Path:
    return run.journal(stage, "x").parent
