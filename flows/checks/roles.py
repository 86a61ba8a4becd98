"""Checks of the model servers for the roles of the stages, shared by `doctor` and runs.

Guarantees: each server gets a request for its list of models, and one of one token per role; all errors are reported at
once; the cost of the tokens is returned for the usage log.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from flows.checks.endpoints import ModelListing, RefusedKeyError, UnlistedError, list_models, show_models
from flows.checks.findings import FOLLOWS, Finding, State, look_at
from flows.checks.role_probes import Pair, ProbeResult, ask_all
from flows.checks.role_requests import count_longest
from flows.models.roles import check_roles, find_hosts
from flows.models.serving import MANAGED, open_served_scorer
from pipeline.errors import ConfigError
from pipeline.llm.roles import find_role
from pipeline.llm.usage_log import CallUsage
from pipeline.masking.perplexity import SpanContext
from schemas.config import RunConfig
from schemas.llm_config import EndpointConfig, LimitsConfig
from schemas.roles import Role

PROMPT_ROOM = 512
"""Minimum tokens of a prompt."""
SCORER_SECONDS = 60.0
SCORED = SpanContext("Paris", "Paris is the capital of France.", ((24, 30),))


@dataclass(frozen=True, slots=True)
class RoleReport:
    """Findings about the servers."""

    findings: tuple[Finding, ...] = ()
    entries: tuple[CallUsage, ...] = ()
    """Cost of the tokens, for the usage log of the run."""


def check_servers(config: RunConfig, cache: Path, roles: Sequence[str], *, everyone: bool = False) -> RoleReport:
    """Check the servers of some roles or, with `everyone`, all configured servers."""
    hosts = {role: tuple(host for host in find_hosts(config, role) if host in config.llm.endpoints) for role in roles}
    names = config.llm.endpoints if everyone else {host for found in hosts.values() for host in found}
    listings = _list_all({name: config.llm.endpoints[name] for name in sorted(names)})
    chat = [role for role in roles if role != Role.SCORER and _is_played(config, role)]
    pairs = [Pair(role, host) for role in chat for host in hosts[role] if not _is_out(listings[host])]
    verdicts = ask_all(config, pairs)
    played = {name: {role for role in chat if name in hosts[role]} for name in listings}
    findings = [_judge_endpoint(name, listings[name], config, verdicts, played[name]) for name in listings]
    findings += [_judge_role(config, role, listings, verdicts) for role in roles if role != Role.SCORER]
    if Role.SCORER in roles and MANAGED not in set(find_hosts(config, Role.SCORER)) - set(hosts[Role.SCORER]):
        findings.append(look_at("prompt_logprobs", lambda: _probe_scorer(config, cache)))
    entries = [verdict.entry for verdict in verdicts.values() if verdict.entry is not None]
    return RoleReport(tuple(findings), tuple(entries))


def _list_all(endpoints: Mapping[str, EndpointConfig]) -> dict[str, ModelListing | ConfigError]:
    def ask(name: str) -> ModelListing | ConfigError:
        try:
            return list_models(name, endpoints[name])
        except ConfigError as error:
            return error

    with ThreadPoolExecutor(8) as threads:
        return dict(zip(endpoints, threads.map(ask, endpoints), strict=True))


def _is_played(config: RunConfig, role: str) -> bool:
    return role in config.llm.roles or "default" in config.llm.roles


def _is_out(listing: ModelListing | ConfigError) -> bool:
    """Return whether the server needs no probe because it is down."""
    return isinstance(listing, ConfigError) or listing.silent


def _judge_endpoint(
    name: str,
    listing: ModelListing | ConfigError,
    config: RunConfig,
    verdicts: Mapping[Pair, ProbeResult],
    needed: Set[str],
) -> Finding:
    """Return the finding about a server; `needed`: the roles that it must serve."""
    subject, url = f"endpoint {name}", config.llm.endpoints[name].url
    if isinstance(listing, ConfigError):
        return Finding(subject, State.FAIL, listing.what, listing.fix)
    if listing.fault is None:
        return Finding(subject, State.OK, f"{url} serves {show_models(listing.models)}")
    probed = [verdict for pair, verdict in verdicts.items() if pair.host == name]
    answers = any(verdict.state is not State.FAIL for verdict in probed)
    if listing.silent and needed and needed <= {pair.role for pair in verdicts}:
        return Finding(subject, State.WARN, listing.fault.what, f"{listing.fault.fix}; others serve its roles")
    if listing.silent or (not probed and isinstance(listing.fault, RefusedKeyError)):
        return Finding(subject, State.FAIL, listing.fault.what, listing.fault.fix)
    if answers and isinstance(listing.fault, UnlistedError):
        return Finding(subject, State.OK, f"{url} answers; {listing.fault.what}")
    return Finding(subject, State.WARN, listing.fault.what, "" if answers else listing.fault.fix)


def _judge_role(
    config: RunConfig,
    role: str,
    listings: Mapping[str, ModelListing | ConfigError],
    verdicts: Mapping[Pair, ProbeResult],
) -> Finding:
    subject = f"role {role}"
    try:
        check_roles(config, [role])
    except ConfigError as error:
        return Finding(subject, State.FAIL, error.what, error.fix)
    model, hosts = find_role(config.llm, role).model, find_hosts(config, role)
    probed = {pair.host: verdict for pair, verdict in verdicts.items() if pair.role == role}
    later = [host for host in hosts if host not in config.llm.endpoints]
    served = config.serving.name or config.serving.model
    if later and model != served:
        return Finding(
            subject, State.FAIL, f"{later[0]} does not serve {model}, but {served}", f"set llm.roles.{role}.model"
        )
    if not probed and not later:
        return Finding(subject, State.FAIL, f"none of its servers answers ({', '.join(hosts)})", FOLLOWS)
    found = [*_list_doubts(config, role, probed, listings), *probed.values()]
    for state in (State.FAIL, State.WARN):
        for verdict in found:
            if verdict.state is state:
                return Finding(subject, state, verdict.detail, verdict.fix)
    silent = [host for host in hosts if host not in probed and host not in later]
    if silent:
        return Finding(subject, State.WARN, f"{', '.join(silent)} does not answer, and {', '.join(probed)} does")
    return Finding(subject, State.OK, f"{model} at {', '.join(hosts)}")


def _list_doubts(
    config: RunConfig, role: str, probed: Mapping[str, ProbeResult], listings: Mapping[str, ModelListing | ConfigError]
) -> Iterator[ProbeResult]:
    """Return the contradictions between the lists of models and a role."""
    model = find_role(config.llm, role).model
    for host, verdict in probed.items():
        listing = listings[host]
        if isinstance(listing, ConfigError) or not listing.models:
            continue
        listed = any(fnmatchcase(model, name) for name in listing.models)
        if not listed and verdict.state is State.FAIL:
            detail = f"{host} does not serve {model}, but {show_models(listing.models)} ({verdict.detail})"
            yield ProbeResult(State.FAIL, detail, f"set llm.roles.{role}.model")
        elif not listed:
            detail = (
                f"{host} answers for the model {model} but does not list it; it lists {show_models(listing.models)}"
            )
            yield ProbeResult(State.WARN, detail, f"check llm.roles.{role}.model")
        window, longest = listing.find_window(model), count_longest(config, role)
        if window is not None and window - longest < PROMPT_ROOM:
            detail = f"{host} has a context of {window} tokens, but the role requests replies of {longest}"
            state = State.FAIL if longest >= window else State.WARN
            yield ProbeResult(
                state, detail, f"set llm.roles.{role}.max_tokens to at most {max(1, window - 2 * PROMPT_ROOM)}"
            )


def _probe_scorer(config: RunConfig, cache: Path) -> str:
    """Score one span."""
    limits = LimitsConfig(deadline=SCORER_SECONDS, give_up=SCORER_SECONDS)
    with open_served_scorer(config, cache, limits) as scorer:
        ((score,),) = scorer.score([SCORED])
    return f"{scorer.name} works (`France` scores {score.surprisal:.3g} nats)"
