"""Checks of the model servers that a configuration names: keys, addresses, model names, prompt_logprobs.

Promise: a key is sent to its own server and shown nowhere; only the names of variables are.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from flows.findings import Finding, State, look_at
from flows.model_roles import check_roles, find_hosts, list_roles
from flows.serving import MANAGED, SCORER, names_served_scorer, open_served_scorer
from flows.stage_table import STAGES
from pipeline.errors import ConfigError
from pipeline.llm.chat_model import EndpointError
from pipeline.llm.openai_chat_model import find_role
from pipeline.masking.perplexity import SpanContext
from pipeline.serving.managed_server import is_loopback
from schemas.config import RunConfig
from schemas.llm_config import EndpointConfig, LimitsConfig

WAIT_SECONDS = 10.0
PROBE_SECONDS = 60.0
SHOWN_MODELS = 5
PROBE = SpanContext("Paris", "Paris is the capital of France.", ((24, 30),))


class RefusedKeyError(EndpointError):
    """The server is there and does not take the key."""


def refuse_wrong_keys(config: RunConfig, roles: Iterable[str]) -> None:
    """Ask every endpoint that serves one of the roles whether it takes its key: a wrong one is said before the work.

    Raises ConfigError for a key that is not set, EndpointError for one that is refused. A server that does not answer
    is let pass: it may be up by the time it is needed.
    """
    for name in sorted({host for role in roles for host in find_hosts(config, role)} - {MANAGED}):
        endpoint = config.llm.endpoints[name]
        key = read_key(name, endpoint)
        try:
            read_models(endpoint.url, key)
        except RefusedKeyError:
            raise
        except EndpointError:
            continue


def read_key(name: str, endpoint: EndpointConfig) -> str:
    """The key of an endpoint, empty where it needs none. Raises ConfigError when its variable is not set."""
    key = os.environ.get(endpoint.key, "") if endpoint.key else ""
    if endpoint.key and not key:
        raise ConfigError(f"endpoint {name} needs a key, and {endpoint.key} is not set", f"export {endpoint.key}=...")
    return key


def check_endpoints(config: RunConfig, cache: Path) -> Iterator[Finding]:
    """Every endpoint, every role that a model plays, and the scorer behind a server."""
    served: dict[str, tuple[str, ...]] = {}
    for name, endpoint in config.llm.endpoints.items():
        finding, models = _check_endpoint(name, endpoint)
        yield finding
        if models is not None:
            served[name] = models
    for role in list_roles(config, STAGES.values()):
        yield look_at(f"role {role}", partial(_check_role, config, role, served))
    if names_served_scorer(config) and MANAGED not in find_hosts(config, SCORER):
        yield look_at("prompt_logprobs", lambda: _probe_scorer(config, cache))


def _check_endpoint(name: str, endpoint: EndpointConfig) -> tuple[Finding, tuple[str, ...] | None]:
    """How a server stands, and what it says it serves: nothing where it does not list its models, None if down."""
    subject = f"endpoint {name}"
    try:
        models = read_models(endpoint.url, read_key(name, endpoint))
    except (ConfigError, EndpointError) as error:
        return Finding(subject, State.FAIL, error.what, error.fix), None
    if not models:
        return Finding(subject, State.WARN, f"{endpoint.url} answers, and lists no models"), ()
    shown = ", ".join(models[:SHOWN_MODELS]) + (
        f" and {len(models) - SHOWN_MODELS} more" * (len(models) > SHOWN_MODELS)
    )
    return Finding(subject, State.OK, f"{endpoint.url} serves {shown}"), models


def read_models(url: str, key: str) -> tuple[str, ...]:
    """Names of the models that a server lists; none where it has no list. Raises EndpointError."""
    return tuple(sorted(str(card["id"]) for card in read_cards(url, key)))


def read_cards(url: str, key: str) -> list[dict[str, Any]]:
    """What a server says of the models that it lists, each with its `id`; nothing where it has no list.

    Raises EndpointError.
    """
    headers: Mapping[str, str] = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        reply = httpx.get(
            f"{url.rstrip('/')}/models", headers=headers, timeout=WAIT_SECONDS, trust_env=not is_loopback(url)
        )
        if reply.status_code in (401, 403):
            fix = "put the right key into the variable that `key` names"
            raise RefusedKeyError(f"{url} refuses the key (HTTP {reply.status_code})", fix)
        if reply.status_code >= 500:
            raise EndpointError(f"{url} answers HTTP {reply.status_code}", "see the server's own log")
        cards: list[dict[str, Any]] = reply.json()["data"] if reply.is_success else []
        return cards if all("id" in card for card in cards) else []
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        fix = "start the server, or mend its url"
        raise EndpointError(f"{url} does not answer ({type(error).__name__})", fix) from None
    except (ValueError, KeyError, TypeError):
        return []


def _check_role(config: RunConfig, role: str, served: Mapping[str, tuple[str, ...]]) -> str:
    """Every endpoint that may get the role's requests must have its model."""
    check_roles(config, [role])
    model, hosts = find_role(config.llm, role).model, find_hosts(config, role)
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
