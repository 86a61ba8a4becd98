"""Checks of the model servers that a configuration names: keys, addresses, model names, prompt_logprobs.

Promise: a key is sent to its own server and shown nowhere; only the names of variables are.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import httpx

from flows.findings import Finding, State, look_at
from flows.serving import MANAGED, SCORER, open_served_scorer
from pipeline.errors import ConfigError
from pipeline.llm.chat_model import EndpointError
from pipeline.llm.openai_chat_model import find_role
from pipeline.masking.perplexity import SpanContext
from pipeline.serving.managed_server import is_loopback
from schemas.config import RunConfig
from schemas.llm_config import EndpointConfig, LimitsConfig
from schemas.serving_config import ServingMode

WAIT_SECONDS = 10.0
PROBE_SECONDS = 60.0
SHOWN_MODELS = 5
PROBE = SpanContext("Paris", "Paris is the capital of France.", ((24, 30),))
AGENT_ROLES = ("planner", "rewriter", "observer")


def list_roles(config: RunConfig) -> tuple[str, ...]:
    """The roles that language models play under this configuration."""
    roles = list(AGENT_ROLES) if config.agents.policy == "agents" else []
    roles += ["extractor"] * config.masking.extractor
    roles += ["judge"] * (config.judging.judge == "llm")
    return (*roles, SCORER) if SCORER in config.llm.roles else tuple(roles)


def check_endpoints(config: RunConfig, cache: Path) -> Iterator[Finding]:
    """Every endpoint, every role that a model plays, and the scorer behind a server."""
    served: dict[str, tuple[str, ...]] = {}
    for name, endpoint in config.llm.endpoints.items():
        finding, models = _check_endpoint(name, endpoint)
        yield finding
        if models is not None:
            served[name] = models
    for role in list_roles(config):
        yield look_at(f"role {role}", partial(_check_role, config, role, served))
    if SCORER in config.llm.roles and MANAGED not in _find_hosts(config, SCORER):
        yield look_at("prompt_logprobs", lambda: _probe_scorer(config, cache))


def _check_endpoint(name: str, endpoint: EndpointConfig) -> tuple[Finding, tuple[str, ...] | None]:
    """How a server stands, and what it says it serves: nothing where it does not list its models, None if down."""
    subject = f"endpoint {name}"
    key = os.environ.get(endpoint.key, "") if endpoint.key else ""
    if endpoint.key and not key:
        return Finding(subject, State.FAIL, f"its key {endpoint.key} is not set", f"export {endpoint.key}=..."), None
    try:
        models = read_models(endpoint.url, key)
    except EndpointError as error:
        return Finding(subject, State.FAIL, error.what, error.fix), None
    if not models:
        return Finding(subject, State.WARN, f"{endpoint.url} answers, and lists no models"), ()
    shown = ", ".join(models[:SHOWN_MODELS]) + (
        f" and {len(models) - SHOWN_MODELS} more" * (len(models) > SHOWN_MODELS)
    )
    return Finding(subject, State.OK, f"{endpoint.url} serves {shown}"), models


def read_models(url: str, key: str) -> tuple[str, ...]:
    """Names of the models that a server lists; none where it has no list. Raises EndpointError."""
    headers: Mapping[str, str] = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        reply = httpx.get(
            f"{url.rstrip('/')}/models", headers=headers, timeout=WAIT_SECONDS, trust_env=not is_loopback(url)
        )
        if reply.status_code in (401, 403):
            fix = "put the right key into the variable that `key` names"
            raise EndpointError(f"{url} refuses the key (HTTP {reply.status_code})", fix)
        if reply.status_code >= 500:
            raise EndpointError(f"{url} answers HTTP {reply.status_code}", "see the server's own log")
        return tuple(sorted(str(model["id"]) for model in reply.json()["data"])) if reply.is_success else ()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        fix = "start the server, or mend its url"
        raise EndpointError(f"{url} does not answer ({type(error).__name__})", fix) from None
    except (ValueError, KeyError, TypeError):
        return ()


def _find_hosts(config: RunConfig, role: str) -> tuple[str, ...]:
    """Names of the endpoints that serve a role, our own server among them."""
    hosts = [name for name, endpoint in config.llm.endpoints.items() if not endpoint.roles or role in endpoint.roles]
    serving = config.serving
    if serving.mode is ServingMode.MANAGED and (not serving.roles or role in serving.roles):
        hosts.append(MANAGED)
    return tuple(hosts)


def _check_role(config: RunConfig, role: str, served: Mapping[str, tuple[str, ...]]) -> str:
    """Every endpoint that may get the role's requests must have its model."""
    model = find_role(config.llm, role).model
    hosts = _find_hosts(config, role)
    if not hosts:
        raise ConfigError("no endpoint serves it", "name one in llm.endpoints, or set serving.mode=managed")
    listed = {**served, MANAGED: (config.serving.name or config.serving.model or "",)}
    for host in hosts:
        models = listed.get(host)
        if models and model not in models:
            raise ConfigError(
                f"{host} serves no model {model}, but {', '.join(models[:SHOWN_MODELS])}", f"set llm.roles.{role}.model"
            )
    if not any(host in listed for host in hosts):
        raise EndpointError(f"none of its endpoints answers ({', '.join(hosts)})", "see the lines on endpoints")
    return f"{model} at {', '.join(hosts)}"


def _probe_scorer(config: RunConfig, cache: Path) -> str:
    """Score one span."""
    limits = LimitsConfig(deadline=PROBE_SECONDS, give_up=PROBE_SECONDS)
    with open_served_scorer(config, cache, limits) as scorer:
        ((perplexity,),) = scorer.score([PROBE])
    return f"{scorer.name} works (`France` scores {perplexity:.3g})"
