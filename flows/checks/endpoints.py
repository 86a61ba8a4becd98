"""Model listings of the configured model servers: keys, addresses, models.

Guarantees: a key is sent to its own server only and never shown; only the names of variables are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from flows.checks.unanswered import ask_for_tls, explain_silence, speaks_tls
from flows.models.credentials import open_credentials
from pipeline.errors import ConfigError
from pipeline.http.errors import HttpStatusError
from pipeline.llm.chat_model import EndpointError
from pipeline.llm.credentials import Credentials
from schemas.llm_config import EndpointConfig

WAIT_SECONDS = 10.0
SHOWN_MODELS = 5
WINDOW_KEYS = ("max_model_len", "context_length", "n_ctx", "max_context_length")
"""Names that servers give to the context window (prompt and reply together)."""


class RefusedKeyError(EndpointError):
    """The server rejects the API key."""


class UnlistedError(EndpointError):
    """The server has no list of its models; it may answer requests nevertheless."""


@dataclass(frozen=True, slots=True)
class ModelListing:
    """Models that a server lists."""

    cards: tuple[Mapping[str, Any], ...] = ()
    """One entry per model, each with its `id`; empty where it lists none."""
    fault: EndpointError | None = None
    """Reason for having no list."""
    silent: bool = False
    """Whether the server cannot be reached at all."""

    @property
    def models(self) -> tuple[str, ...]:
        """Return the names, sorted."""
        return tuple(sorted(str(card["id"]) for card in self.cards))

    def find_window(self, model: str) -> int | None:
        """Return the context window of a model (prompt and reply together), if the server gives it."""
        card = next((card for card in self.cards if card["id"] == model), None)
        if card is None:
            return None
        meta = card.get("meta")
        values = {**(meta if isinstance(meta, Mapping) else {}), **card}
        return next((values[key] for key in WINDOW_KEYS if isinstance(values.get(key), int) and values[key] > 0), None)


def list_models(name: str, endpoint: EndpointConfig) -> ModelListing:
    """Request the list of models of a server; errors are part of the result. Raises ConfigError for a key that is not
    set.
    """
    try:
        return ModelListing(tuple(read_cards(endpoint, open_credentials(name, endpoint))))
    except (UnlistedError, RefusedKeyError) as error:
        return ModelListing(fault=error)
    except EndpointError as error:
        return ModelListing(fault=error, silent=True)


def join_url(url: str, path: str) -> str:
    """Join a path to the base URL of a server, keeping its query at the end."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{path}"))


def read_cards(endpoint: EndpointConfig, credentials: Credentials) -> list[dict[str, Any]]:
    """Return the entries of the models that a server lists, each with its `id`.

    Raises UnlistedError if it has no list, RefusedKeyError, and EndpointError if it does not answer.
    """
    from pipeline.llm.client import ApiClient

    url = endpoint.url
    try:
        with ApiClient(endpoint, credentials, WAIT_SECONDS) as client:
            content = client.request("/models")
    except HttpStatusError as error:
        if error.status in (401, 403):
            fix = "set the variable named by `key` to a valid key"
            raise RefusedKeyError(f"{url} rejects the API key (HTTP {error.status})", fix) from None
        if error.status == 400 and "HTTPS" in error.detail and speaks_tls(url):
            raise EndpointError(*ask_for_tls(url)) from None
        raise UnlistedError(f"{url} does not list models ({error})", "see the server's log") from None
    except (ConnectionError, ConfigError) as error:
        raise EndpointError(*explain_silence(url, error, endpoint.proxy)) from None
    return _read_list(url, content)


def _read_list(url: str, content: bytes) -> list[dict[str, Any]]:
    try:
        content_json = json.loads(content)
    except ValueError:
        raise UnlistedError(f"{url} does not list models: its answer is not JSON", "correct its url") from None
    cards = content_json.get("data") if isinstance(content_json, dict) else content_json  # some return a bare list
    found = [card for card in cards if isinstance(card, dict) and "id" in card] if isinstance(cards, list) else []
    if not found:
        raise UnlistedError(f"{url} answers, but does not list models")
    return found


def suggest_base(endpoint: EndpointConfig, credentials: Credentials) -> str | None:
    """Return the base URL that lists models where the given one does not: with /v1 appended, or without a method."""
    with suppress(EndpointError):
        read_cards(endpoint, credentials)
        return None
    stripped = endpoint.url.removesuffix("/").removesuffix("/completions").removesuffix("/chat")
    for base in (stripped, join_url(endpoint.url, "v1")):
        if base == endpoint.url.removesuffix("/"):
            continue
        try:
            read_cards(endpoint.model_copy(update={"url": base}), credentials)
        except EndpointError:
            continue
        return base
    return None


def show_models(models: tuple[str, ...]) -> str:
    """Return the first names of a list."""
    more = len(models) - SHOWN_MODELS
    return ", ".join(models[:SHOWN_MODELS]) + (f" and {more} more" if more > 0 else "")
