"""Configuration that a run was made with, restored from its ledgers.

run.json contains the whole configuration; for a key that affected existing rows, the ledger of their stage takes
precedence.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from pydantic import ValidationError

from flows.configuration.run_config import explain_faults
from pipeline.errors import ConfigError, StorageError
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.stage_ledger import holds_work
from pipeline.storage.verification.shard_settings import read_shard_settings
from schemas.config import RunConfig

ROLES = ["llm", "roles"]


def recall_config(run: RunFolder) -> RunConfig:
    """Return the configuration to resume a run with. Raises StorageError if there is no run, ConfigError if its
    configuration does not fit this version."""
    holding = (stage for stage in run.stages() if holds_work(run, stage))
    return _build(run, run.record().config, (run.start(stage).settings for stage in holding))


def recover_config(run: RunFolder) -> RunConfig:
    """Return the configuration of a run without run.json: the values in ledgers and shards, and the defaults.

    Raises ConfigError if it does not fit this version.
    """
    settings = read_shard_settings(run.root)
    for stage in run.stages():
        for read in (run.find_manifest, run.find_start):
            with suppress(StorageError):
                if found := read(stage):
                    settings[stage] = found.settings
    return _build(run, RunConfig().model_dump(mode="json"), settings.values())


def _build(run: RunFolder, base: Mapping[str, Any], settings: Iterable[Mapping[str, str]]) -> RunConfig:
    values: dict[str, Any] = json.loads(json.dumps(base))
    for one in settings:
        for key, text in one.items():
            _put(values, key.split("."), text)
    try:
        return RunConfig.model_validate_json(json.dumps(values))
    except ValidationError as error:
        what = f"{run.location}: its configuration does not fit this version: {explain_faults(error)}"
        raise ConfigError(what, "use the version of rampforge that made it, or start a new run") from None


def _put(values: dict[str, Any], path: list[str], text: str) -> None:
    """Set one key to its value in a ledger; entries that are not keys of the configuration (a file's fingerprint) are
    skipped.
    """
    if path[0] not in values or (len(path) == 1 and isinstance(values[path[0]], dict)):
        return
    value = json.loads(text)
    if path[:2] == ROLES:
        roles = values["llm"].setdefault("roles", {})
        if (roles.get(path[2]) or roles.get("default")) != value:  # otherwise `default` is already this model
            roles[path[2]] = value
        return
    place = values
    for part in path[:-1]:
        inner = place.get(part)
        if not isinstance(inner, dict):  # a setting that was renamed since, which the check of the values names
            inner = place[part] = {}
        place = inner
    if isinstance(value, dict) and isinstance(place.get(path[-1]), dict):
        place[path[-1]] |= value
    else:
        place[path[-1]] = value
