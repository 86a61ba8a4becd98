"""Checks of a run's ledgers against the configuration and the versions that would resume it.

Guarantees: nothing is written, and all stages are checked before any work, so a run that is refused stays as it was,
byte for byte.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from flows.configuration.prompt_folder import digest_prompts
from flows.configuration.run_context import RunContext
from flows.configuration.source_ledger import check_sources
from flows.stages.library_versions import list_versions
from flows.stages.registry import STAGES, find_spec
from flows.stages.spec import StageSpec
from pipeline.components import identify_component
from pipeline.errors import ConfigError
from pipeline.llm.roles import find_role
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.stage_ledger import check_start, check_upstream, digest_manifest, holds_work, pick_settings
from schemas.config import RunConfig, StageName
from schemas.ledger import StageStart

OTHER_VERSION = "--other-version"


def list_settings(config: RunConfig, spec: StageSpec) -> dict[str, str]:
    """The keys of the configuration that decide a stage's rows, and the models that play its roles.

    Raises ConfigError for a role that no model plays.
    """
    roles = {f"llm.roles.{role}": find_role(config.llm, role).model_dump_json() for role in spec.roles(config)}
    return pick_settings(config, spec.config_keys(config)) | roles


def list_all_settings(context: RunContext, spec: StageSpec) -> dict[str, str]:
    """All that decides a stage's rows, besides its inputs. Raises RampforgeError for what is missing."""
    settings = list_settings(context.config, spec) | digest_prompts(context.config, spec.name)
    functions = spec.functions(context.config).items()
    settings |= {f"function {key}": identify_component(key, name) for key, name in functions}
    return settings | dict(spec.fingerprint_inputs(context)) | _digest_inputs(context, spec)


def _digest_inputs(context: RunContext, spec: StageSpec) -> dict[str, str]:
    """The digests of the datasets that a stage reads beside those of its first input. Raises StorageError for an input
    that is not finished."""
    others = [find_spec(name) for name in spec.inputs[1:]]
    manifests = {other: context.run.manifest(other.name) for other in others if other.enabled(context.config)}
    return {other.name.value: digest_manifest(manifest) for other, manifest in manifests.items() if other.outputs}


def check_stages(context: RunContext, requested: Collection[str], redone: Collection[str]) -> None:
    """Raise ConfigError or StorageError when a stage that keeps its rows was made under another configuration.

    All of them are compared by their keys; then those requested also by the files, models and engines behind these.
    """
    kept = dict(_list_kept(context, redone))
    for name, started in kept.items():
        of_config = {key: value for key, value in started.settings.items() if _is_key(key)}
        keys = started.model_copy(update={"settings": of_config})
        check_start(context.run, name, keys, list_settings(context.config, STAGES[name]), partial=True)
    for name, spec in STAGES.items():
        if not spec.enabled(context.config):
            continue
        if name in kept and name in requested:
            started = kept[name]
            check_start(context.run, name, started, list_all_settings(context, spec), partial=True)
            if name is StageName.CORPUS:
                check_sources(context)
            if spec.inputs:
                check_upstream(context.run, name, started, digest_manifest(context.run.manifest(spec.inputs[0])))
        if name in redone or context.run.find_manifest(name) is None:
            return  # what later stages are made with can be read only when this one is finished


def _list_kept(context: RunContext, redone: Collection[str]) -> Iterator[tuple[StageName, StageStart]]:
    """The stages that have rows, or outcomes of inputs, which are kept; with what each was started with."""
    for name, spec in STAGES.items():
        if name not in redone and spec.enabled(context.config) and holds_work(context.run, name):
            yield name, context.run.start(name)


def _is_key(name: str) -> bool:
    return name.partition(".")[0] in RunConfig.model_fields


def find_other_versions(
    context: RunContext, requested: Sequence[str], redone: Collection[str]
) -> dict[str, StageStart]:
    """The stages that keep rows of other versions than are installed, when more rows are to be made in this run."""
    enabled = [name for name in requested if find_spec(name).enabled(context.config)]
    unfinished = [name for name in enabled if name in redone or context.run.find_manifest(name) is None]
    if set(unfinished) <= {StageName.REPORT}:
        return {}
    kept = _list_kept(context, redone)
    return {name: started for name, started in kept if name != StageName.REPORT and _compare_versions(started)}


def refuse_other_versions(run: RunFolder, stages: Mapping[str, StageStart]) -> None:
    """Raise ConfigError naming what has another version now."""
    if not stages:
        return
    differing: dict[str, list[str]] = {}
    for name, started in stages.items():
        for package, (old, new) in _compare_versions(started).items():
            differing.setdefault(f"{package} was {old}, now {new}", []).append(name)
    changes = "; ".join(f"{change} (stages {', '.join(names)})" for change, names in differing.items())
    raise ConfigError(
        f"{run.location}: made with other versions than are installed: {changes}",
        f"install those versions again; or `rampforge resume {run.location} {OTHER_VERSION}` goes on with the new ones "
        "(the ledger keeps which version made which shard)",
    )


def accept_other_versions(run: RunFolder, stages: Mapping[str, StageStart]) -> None:
    """Write down that these stages may be continued, and built upon, under the versions that are installed."""
    for name, started in stages.items():
        accepted = {"accepted": list_versions(_list_packages(started))}
        run.write_record(run.ledger(name) / "stage.json", started.model_copy(update=accepted))


def _list_packages(started: StageStart) -> list[str]:
    return [package for package in started.versions if package != "rampforge"]


def _compare_versions(started: StageStart) -> dict[str, tuple[str, str]]:
    """By package the version before and now, where they differ. An earlier rampforge wrote none down."""
    now = list_versions(_list_packages(started))
    then = started.accepted or started.versions
    return {name: (old, now[name]) for name, old in then.items() if old != now[name]}
