"""The configuration that a run was made under, as its ledgers have it.

run.json holds the whole configuration; for a key that decided rows which are there, the ledger of their stage is the
proof, whatever run.json says.
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
    """The configuration that continues a run. Raises StorageError where there is no run, ConfigError where what it
    holds is no configuration of this version."""
    holding = (stage for stage in run.stages() if holds_work(run, stage))
    return _build(run, run.record().config, (run.start(stage).settings for stage in holding))


def recover_config(run: RunFolder) -> RunConfig:
    """The configuration of a run without run.json: what ledgers and shards still say of it, and the defaults.

    Raises ConfigError where that is no configuration of this version.
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
        what = f"{run.location}: its configuration is not one of this version: {explain_faults(error)}"
        raise ConfigError(what, "use the rampforge that made it, or start a new run") from None


def _put(values: dict[str, Any], path: list[str], text: str) -> None:
    """Set one key to what a ledger says; what is no key of the configuration (a file's fingerprint) is left out."""
    if path[0] not in values or (len(path) == 1 and isinstance(values[path[0]], dict)):
        return
    value = json.loads(text)
    if path[:2] == ROLES:
        roles = values["llm"]["roles"]
        if (roles.get(path[2]) or roles.get("default")) != value:  # else `default` already stands for this model
            roles[path[2]] = value
        return
    place = values
    for part in path[:-1]:
        place = place[part]
    if isinstance(value, dict) and isinstance(place[path[-1]], dict):
        place[path[-1]] |= value
    else:
        place[path[-1]] = value
