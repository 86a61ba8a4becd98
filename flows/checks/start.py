"""Checks before a run reads its first page, shared with `rampforge doctor`.

Guarantees: cheap, no model is loaded; only the requirements of unfinished stages are checked; everything that is
missing is reported at once; nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from flows.checks.findings import Finding, State, look_at, require
from flows.checks.machine import check_disk
from flows.checks.model_files import check_models
from flows.checks.policy import refuse_wrong_model
from flows.checks.roles import RoleReport, check_servers
from flows.configuration.environments import open_environment
from flows.configuration.run_context import RunContext
from flows.configuration.sources import find_sources
from flows.models.roles import find_hosts, needs_server
from flows.models.serving import MANAGED
from flows.search_engines.registry import find_engine, read_fingerprint
from flows.search_engines.remote import FUNCTION_KEY
from flows.stages.spec import StageSpec
from pipeline.assets.store import resolve_model
from pipeline.components import identify_component
from pipeline.errors import ConfigError
from pipeline.llm.chat_model import EndpointError
from pipeline.llm.usage_log import CallUsage
from schemas.config import RunConfig, StageName
from schemas.roles import Role
from schemas.serving_config import ServingMode


def require_start(context: RunContext, roles: Sequence[str], specs: Sequence[StageSpec] = ()) -> tuple[CallUsage, ...]:
    """Check what work needs before it starts: the servers of its roles, the sources and models of its stages, the disk.

    Returns the cost of the probes. Raises ConfigError that names everything that is missing.
    """
    report = check_played(context.config, context.cache, roles)
    serving = check_serving(context) if needs_server(context.config, roles) else ()
    require([*check_inputs(context, specs), *serving, *report.findings], ConfigError)
    return report.entries


def check_inputs(context: RunContext, specs: Sequence[StageSpec]) -> Iterator[Finding]:
    """Check the sources, models, search service and disk that some stages need."""
    names = {spec.name for spec in specs}
    if StageName.CORPUS in names:
        yield check_sources(context)
    for key, name in (item for spec in specs for item in spec.functions(context.config).items()):
        yield look_at(key, partial(identify_component, key, name))
    yield from check_models(context, tuple(specs))
    engine = find_engine(context.config)
    if StageName.TRAJECTORIES in names and engine.open_source and not engine.roles:
        yield look_at(f"search {engine.kind}", lambda: _open_source(context))
    yield check_disk(context.run.root)


def check_serving(context: RunContext) -> Iterator[Finding]:
    """Check the environment and the model of the managed server, if one is configured."""
    serving = context.config.serving
    if serving.mode is ServingMode.MANAGED:
        name = serving.environment
        yield look_at(f"environment {name}", lambda: f"is in {open_environment(name).folder}")
        yield look_at("served model", lambda: str(resolve_model(str(serving.model), context.cache)))


def check_sources(context: RunContext) -> Finding:
    """Check that every source exists, and its format."""
    if not context.config.corpus.sources:
        return Finding("sources", State.WARN, "none named", "name them to `rampforge run`, or set corpus.sources")
    return look_at("sources", lambda: _describe_sources(context))


def _describe_sources(context: RunContext) -> str:
    found = find_sources(context)
    return f"{len(found)}: {found[0]}" + (" ..." if len(found) > 1 else "")


def check_played(config: RunConfig, cache: Path, roles: Sequence[str], *, everyone: bool = False) -> RoleReport:
    """Check the servers of some roles or, with `everyone`, all configured ones; a policy server must serve exactly the
    configured model.
    """
    report = check_servers(config, cache, roles, everyone=everyone)
    failed = any(finding.state is State.FAIL for finding in report.findings)
    if failed or Role.POLICY not in roles or not set(find_hosts(config, Role.POLICY)) & set(config.llm.endpoints):
        return report
    served = look_at("served policy", lambda: _say_right(lambda: refuse_wrong_model(config, cache)))
    return RoleReport((*report.findings, served), report.entries)


def require_served(config: RunConfig, cache: Path, roles: Sequence[str]) -> tuple[CallUsage, ...]:
    """Check the managed server, now that it is up, for its roles; return the cost of the probes.

    Raises EndpointError.
    """
    managed = [role for role in roles if MANAGED in find_hosts(config, role)]
    alone = {MANAGED: config.llm.endpoints[MANAGED]}
    report = check_played(config.with_section("llm", endpoints=alone), cache, managed)
    require(report.findings, EndpointError)
    return report.entries


def _say_right(check: Callable[[], None]) -> str:
    check()
    return "is the model that policy.model names"


def _open_source(context: RunContext) -> str:
    read_fingerprint(context)
    config = context.config
    name = config.search.function if FUNCTION_KEY in find_engine(config).config_keys else config.search_service.url
    return name or str(config.search.web.provider)
