"""Keys of model and search servers: the one module that reads them from the environment."""

from __future__ import annotations

import os
from collections.abc import Iterable

from pipeline.errors import ConfigError
from schemas.llm_config import EndpointConfig


def read_keys(variables: Iterable[str | None]) -> dict[str, str]:
    """The values of the environment variables that are set."""
    return {name: os.environ[name] for name in variables if name and name in os.environ}


def read_endpoint_keys(endpoints: Iterable[EndpointConfig]) -> dict[str, str]:
    """The keys of endpoints by variable, as far as they are set."""
    return read_keys(endpoint.key for endpoint in endpoints)


def read_key(name: str, endpoint: EndpointConfig) -> str:
    """The key of an endpoint, empty where it needs none. Raises ConfigError when its variable is not set."""
    key = read_keys([endpoint.key]).get(endpoint.key or "", "")
    if endpoint.key and not key:
        raise ConfigError(f"endpoint {name} needs a key, and {endpoint.key} is not set", f"export {endpoint.key}=...")
    return key


def read_token(name: str | None, setting: str = "search_service.key") -> str | None:
    """The key in the environment variable that a setting names. Raises ConfigError when it is not set."""
    if name is None:
        return None
    key = read_keys([name]).get(name)
    if not key:
        raise ConfigError(f"{setting} names {name}, which is not set", f"export {name}=...")
    return key
