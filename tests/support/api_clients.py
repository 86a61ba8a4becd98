"""Clients of a model server as the product opens them, for a URL and a key."""

from __future__ import annotations

from typing import Any

from pipeline.llm.client import ApiClient, AsyncApiClient
from pipeline.llm.credentials import Credentials
from schemas.llm_config import EndpointConfig


def open_async(url: str, key: str = "", proxy: str | None = None, connections: int = 1, **more: Any) -> AsyncApiClient:
    endpoint, credentials = make_endpoint(url, key, proxy, **more)
    return AsyncApiClient(endpoint, credentials, connections)


def open_sync(url: str, key: str = "", proxy: str | None = None, seconds: float = 60, **more: Any) -> ApiClient:
    endpoint, credentials = make_endpoint(url, key, proxy, **more)
    return ApiClient(endpoint, credentials, seconds)


def make_endpoint(url: str, key: str = "", proxy: str | None = None, **more: Any) -> tuple[EndpointConfig, Credentials]:
    variables = {"MY_KEY": key, **more.pop("variables", {})}
    endpoint = EndpointConfig(url=url, key="MY_KEY" if key else None, proxy=proxy, **more)
    return endpoint, Credentials("here", endpoint, variables)
