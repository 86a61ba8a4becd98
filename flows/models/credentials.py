"""Keys of model and search servers: the one module that reads them from the environment."""

from __future__ import annotations

import os
from collections.abc import Iterable

from pipeline.errors import ConfigError
from pipeline.llm.credentials import Credentials
from schemas.llm_config import EndpointConfig


def read_keys(variables: Iterable[str | None]) -> dict[str, str]:
    """The values of the environment variables that are set."""
    return {name: os.environ[name] for name in variables if name and name in os.environ}


def read_endpoint_keys(endpoints: Iterable[EndpointConfig]) -> dict[str, str]:
    """The keys of endpoints, and the variables in their headers, as far as they are set."""
    return read_keys(variable for endpoint in endpoints for variable in endpoint.variables)


def open_credentials(name: str, endpoint: EndpointConfig) -> Credentials:
    """The key and headers of an endpoint. Raises ConfigError when a variable that it needs is not set."""
    return Credentials(name, endpoint, read_keys(endpoint.variables))


def read_token(name: str | None, setting: str = "search_service.key") -> str | None:
    """The key in the environment variable that a setting names. Raises ConfigError when it is not set."""
    if name is None:
        return None
    key = read_keys([name]).get(name)
    if not key:
        raise ConfigError(f"{setting} names {name}, which is not set", f"export {name}=...")
    return key
