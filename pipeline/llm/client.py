"""Clients of one server of language models, made by `openai`: every request to a model goes through one of them.

Contract: a request is sent once (`retrying` decides on another try), to the server or its proxy and nowhere else, as no
redirect is followed; a reply comes as bytes, so that it can be read whatever its shape; a status other than 2xx is an
HttpStatusError, and every way in which a connection fails a ConnectionError. A key goes to its own server and is in no
message; without one none is sent, whatever OPENAI_API_KEY holds. An asynchronous client reads no more than `MOST_BYTES`
of a reply and belongs to one event loop.
"""

from __future__ import annotations

import ssl
from contextlib import aclosing
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import httpx2
import openai

from pipeline.errors import ConfigError
from pipeline.http.errors import make_status_error
from pipeline.http.proxies import find_proxy

CONNECT_SECONDS = 10.0
IDLE_SECONDS = 60.0
"""A connection unused for so long may be dead without a sign of it."""
MOST_BYTES = 8 << 20
"""Of the body of a reply: more than any model writes."""
NO_KEY = "none"
"""In place of a key: `openai` wants one."""
FAULTS = (openai.APIConnectionError, httpx2.HTTPError, aiohttp.ClientError, OSError, UnicodeError)
"""What libraries raise where a connection fails, an unknown host of an odd name included."""


class OversizedReplyError(ConnectionError):
    """A reply has more than `MOST_BYTES`; its connection is given up."""

    def __init__(self) -> None:
        super().__init__(f"the reply is larger than {MOST_BYTES >> 20} MiB")


def open_async_client(url: str, key: str, proxy: str | None, connections: int) -> openai.AsyncOpenAI:
    """A client for the server of a base URL; `proxy`: the one that the configuration names. Raises ConfigError."""
    http_client = openai.DefaultAioHttpClient(
        limits=httpx2.Limits(max_connections=connections, keepalive_expiry=IDLE_SECONDS),
        timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS),
        event_hooks={"response": [_raise_for_status]},
        **_transport_options(url, proxy),
    )
    client = openai.AsyncOpenAI(http_client=http_client, **_client_options(url, key))
    client.organization = client.project = None  # names at OpenAI, which the environment may hold
    return client


def open_client(url: str, key: str, proxy: str | None, seconds: float) -> openai.OpenAI:
    """The same for code that waits: so many seconds for each piece of a reply."""
    http_client = openai.DefaultHttpxClient(timeout=seconds, **_transport_options(url, proxy))
    client = openai.OpenAI(http_client=http_client, **_client_options(url, key))
    client.organization = client.project = None
    return client


def _transport_options(url: str, proxy: str | None) -> dict[str, Any]:
    tls = ssl.create_default_context()
    return {"proxy": find_proxy(url, proxy), "verify": tls, "trust_env": False, "follow_redirects": False}


def _client_options(url: str, key: str) -> dict[str, Any]:
    """`url` may have a query, which goes with every request. Raises ConfigError."""
    headers = {"User-Agent": "rampforge"} | ({"Authorization": f"Bearer {key}"} if key else {})
    try:
        parts = urlsplit(url)
        base = httpx2.URL(parts._replace(query="", path=parts.path.rstrip("/")).geturl())
    except (httpx2.InvalidURL, ValueError) as error:
        raise ConfigError(f"{url} is not a valid server URL ({error})", "correct its url") from None
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    # Headers named here go before those of OPENAI_CUSTOM_HEADERS.
    given = {"api_key": key or NO_KEY, "default_headers": headers, "default_query": query}
    return {"base_url": base, "max_retries": 0, **given}


def _request_options(client: openai.AsyncOpenAI | openai.OpenAI) -> openai.RequestOptions:
    return {"headers": {"Authorization": openai.omit}} if client.api_key == NO_KEY else {}


async def request(client: openai.AsyncOpenAI, path: str, content: bytes | None = None, most: int = 0) -> bytes:
    """The reply to a body of JSON posted to a path below the base URL or, without one, what stands at the path.

    `most`: bytes of a reply, instead of `MOST_BYTES`. Raises HttpStatusError, ConnectionError.
    """
    given: dict[str, Any] = {"cast_to": httpx2.Response, "stream": True, "stream_cls": openai.AsyncStream}
    given["options"] = _request_options(client)
    try:
        sent = client.get(path, **given) if content is None else client.post(path, content=content, **given)
        return await _read(await sent, most)
    except ConnectionError:
        raise
    except RuntimeError as error:
        if not client.is_closed():
            raise
        raise ConnectionError("the client was closed") from error
    except FAULTS as error:
        raise ConnectionError(_describe(error)) from error


def fetch(client: openai.OpenAI, path: str, body: object = None) -> bytes:
    """The same for code that waits; `body`: JSON values. Raises HttpStatusError, ConnectionError."""
    given: dict[str, Any] = {"cast_to": httpx2.Response, "options": _request_options(client)}
    try:
        response: httpx2.Response = client.get(path, **given) if body is None else client.post(path, body=body, **given)
    except openai.APIStatusError as error:
        raise make_status_error(error.status_code, error.response.content, error.response.headers) from None
    except FAULTS as error:
        raise ConnectionError(_describe(error)) from error
    return response.content


async def _raise_for_status(response: httpx2.Response) -> None:
    """Before `openai` reads an error to its end, however long that is."""
    if not response.is_success:
        raise make_status_error(response.status_code, await _read(response), response.headers)


async def _read(response: httpx2.Response, most: int = 0) -> bytes:
    content = bytearray()
    async with aclosing(response.aiter_bytes()) as pieces:
        async for piece in pieces:
            content += piece
            if len(content) > (most or MOST_BYTES):
                raise OversizedReplyError
    return bytes(content)


def _describe(error: Exception) -> str:
    cause = error.__cause__ if isinstance(error, openai.APIConnectionError) and error.__cause__ else error
    said = str(cause) or type(cause).__name__
    # The aiohttp transport gives every fault of a connection as a time-out.
    unconnected = isinstance(cause, httpx2.ConnectError) or isinstance(cause.__cause__, aiohttp.ClientConnectorError)
    return f"no connection: {said}" if unconnected else said
