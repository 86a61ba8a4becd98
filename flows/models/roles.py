"""Roles of language models under a configuration, and the endpoints that serve them.

Checked before a run spends anything: a stage whose role has no model or no endpoint would fail hours later.
"""

from __future__ import annotations

from collections.abc import Iterable

from flows.models.serving import MANAGED
from pipeline.errors import ConfigError
from pipeline.llm.roles import find_role
from schemas.config import RunConfig
from schemas.serving_config import ServingMode


def find_hosts(config: RunConfig, role: str) -> tuple[str, ...]:
    """Names of the endpoints that serve a role, the managed server among them."""
    hosts = [name for name, endpoint in config.llm.endpoints.items() if not endpoint.roles or role in endpoint.roles]
    serving = config.serving
    if serving.mode is ServingMode.MANAGED and (not serving.roles or role in serving.roles):
        hosts.append(MANAGED)
    return tuple(dict.fromkeys(hosts))


def needs_server(config: RunConfig, roles: Iterable[str]) -> bool:
    """Whether the managed server serves any of these roles; otherwise it is not started."""
    return any(MANAGED in find_hosts(config, role) for role in roles)


def check_roles(config: RunConfig, roles: Iterable[str]) -> None:
    """Raise ConfigError for the first role without a model or an endpoint."""
    for role in roles:
        find_role(config.llm, role)
        if not find_hosts(config, role):
            raise ConfigError(
                f"no endpoint serves the role {role}", "name one in llm.endpoints, or set serving.mode=managed"
            )
