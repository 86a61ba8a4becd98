"""Keys of model and search servers: the one place that reads them from the environment."""

from __future__ import annotations

import os

from pipeline.errors import ConfigError
from schemas.llm_config import EndpointConfig


def read_key(name: str, endpoint: EndpointConfig) -> str:
    """The key of an endpoint, empty where it needs none. Raises ConfigError when its variable is not set."""
    key = os.environ.get(endpoint.key, "") if endpoint.key else ""
    if endpoint.key and not key:
        raise ConfigError(f"endpoint {name} needs a key, and {endpoint.key} is not set", f"export {endpoint.key}=...")
    return key


def read_token(name: str | None) -> str | None:
    """The value of the environment variable that holds a key. Raises ConfigError when it is not set."""
    if name is None:
        return None
    if not os.environ.get(name):
        raise ConfigError(f"search_service.key names {name}, which is not set", f"export {name}=...")
    return os.environ[name]
