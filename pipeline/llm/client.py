"""Clients of one server of language models, made by `openai`: every request to a model is sent by one of them.

Contract: a request is sent once (`retrying` decides on another try), and a second time only where the server rejects a
key that can be renewed; it goes to the server or its proxy alone: a redirect to another host is not followed. A reply
is returned as bytes, so that it can be read whatever its shape; a status other than 2xx is an HttpStatusError, and
every failure of a connection a ConnectionError. A key is sent to its own server and is in no message; without one none
is sent, whatever OPENAI_API_KEY holds. No more than `MOST_BYTES` of a reply are read, `MOST_STREAM_BYTES` of a stream.
An asynchronous client belongs to one event loop.

`openai` takes a second to import and few commands and workers need it: this module is imported where a client is made.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from contextlib import aclosing, suppress
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import httpx2
import openai

from pipeline.errors import ConfigError
from pipeline.http.errors import HttpStatusError, make_status_error
from pipeline.http.proxies import find_proxy
from pipeline.llm.credentials import Credentials
from pipeline.llm.event_stream import EVENT_STREAM
from schemas.llm_config import EndpointConfig

CONNECT_SECONDS = 10.0
IDLE_SECONDS = 60.0
"""A connection unused for so long may be dead without a sign of it."""
MOST_BYTES = 8 << 20
"""Of the body of a reply: more than any model writes."""
MOST_STREAM_BYTES = 64 << 20
"""The same of a stream, which wraps each token."""
NO_KEY = "none"
"""In place of a key: `openai` wants one."""
TELEMETRY = ("Lang", "Package-Version", "OS", "Arch", "Runtime", "Runtime-Version", "Async")
UNSENT_DEFAULTS = {f"X-Stainless-{name}": openai.omit for name in TELEMETRY}
UNSENT = {"x-stainless-retry-count": openai.omit, "x-stainless-read-timeout": openai.omit}
"""Headers of `openai` that describe the machine and the client."""
FAULTS = (openai.APIConnectionError, httpx2.HTTPError, aiohttp.ClientError, OSError, UnicodeError)
"""What libraries raise where a connection fails, an unknown host of an odd name included."""
RESENT = (307, 308)
"""Redirects that a request is sent again by, as it is."""

END_SECONDS = 0.5
"""Time that a stream gets to end after its last event."""
LAST_EVENT = re.compile(rb"(?:^|\n)data: ?\[DONE\]")


class OversizedReplyError(ConnectionError):
    """A reply is larger than is read of one; its connection is given up."""

    def __init__(self, most: int) -> None:
        super().__init__(f"the reply is larger than {most >> 20} MiB")


class ApiClient:
    """A client for code that waits. Callable from several threads."""

    def __init__(self, endpoint: EndpointConfig, credentials: Credentials, seconds: float) -> None:
        """`seconds`: patience with each piece of a reply. Raises ConfigError."""
        self._credentials = credentials
        self._endpoint = endpoint
        transport = openai.DefaultHttpxClient(timeout=seconds, **_transport_options(endpoint))
        transport.event_hooks = {"response": [_check_redirect]}
        options = _client_options(endpoint, credentials, transport)
        self._client = (openai.OpenAI if endpoint.api_version is None else openai.AzureOpenAI)(**options)
        self._client.organization = self._client.project = None

    @property
    def base_url(self) -> httpx2.URL:
        """The base URL, with a slash at its end."""
        return self._client.base_url

    def request(self, path: str, body: object = None) -> bytes:
        """The reply to JSON values posted to a path below the base URL or, without them, what is at the path.

        Raises HttpStatusError, ConnectionError, and EndpointError when the key command fails.
        """
        key = self._credentials.read_key()
        try:
            return self._send(path, body, key)
        except HttpStatusError as error:
            if error.status != 401 or not self._credentials.discard(key):
                raise
        return self._send(path, body, self._credentials.read_key())

    def _send(self, path: str, body: object, key: str) -> bytes:
        given: dict[str, Any] = {
            "cast_to": httpx2.Response,
            "options": _authorize(self._endpoint, self._credentials, key),
        }
        client = self._client
        try:
            response: httpx2.Response = (
                client.get(path, **given) if body is None else client.post(path, body=body, **given)
            )
        except openai.APIStatusError as error:
            content = self._credentials.redact(error.response.content)
            raise make_status_error(error.status_code, content, error.response.headers) from None
        except FAULTS as error:
            raise ConnectionError(_describe(error)) from error
        return response.content

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncApiClient:
    """A client for coroutines."""

    def __init__(self, endpoint: EndpointConfig, credentials: Credentials, connections: int) -> None:
        """`connections`: how many are open at once. Raises ConfigError."""
        self._credentials = credentials
        self._endpoint = endpoint
        self._renewal = asyncio.Lock()
        transport = openai.DefaultAioHttpClient(
            limits=httpx2.Limits(max_connections=connections, keepalive_expiry=IDLE_SECONDS),
            timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS),
            event_hooks={"response": [self._raise_for_status]},
            **_transport_options(endpoint),
        )
        options = _client_options(endpoint, credentials, transport)
        self._client = (openai.AsyncOpenAI if endpoint.api_version is None else openai.AsyncAzureOpenAI)(**options)
        self._client.organization = self._client.project = None  # names at OpenAI, which the environment may hold
        self._url = str(self._client.base_url).rstrip("/")

    @property
    def base_url(self) -> httpx2.URL:
        """The base URL, with a slash at its end."""
        return self._client.base_url

    async def request(self, path: str, content: bytes | None = None, most: int = 0) -> bytes:
        """The reply to a body of JSON posted to a path below the base URL or, without one, what is at the path.

        `most`: bytes of a reply, instead of `MOST_BYTES`. Raises HttpStatusError, ConnectionError, and EndpointError
        when the key command fails.
        """
        key = await self._read_key()
        try:
            return await self._send(path, content, most, key)
        except HttpStatusError as error:
            if error.status != 401 or not self._credentials.discard(key):
                raise
        return await self._send(path, content, most, await self._read_key())

    async def _read_key(self) -> str:
        if self._credentials.is_due:
            async with self._renewal:  # one thread waits for the command, not one for each request
                return await asyncio.to_thread(self._credentials.read_key)
        return self._credentials.read_key()

    async def _send(self, path: str, content: bytes | None, most: int, key: str) -> bytes:
        given: dict[str, Any] = {"cast_to": httpx2.Response, "stream": True, "stream_cls": openai.AsyncStream}
        given["options"] = _authorize(self._endpoint, self._credentials, key)
        client, url = self._client, self._url + path
        try:
            sent = client.get(url, **given) if content is None else client.post(url, content=content, **given)
            return await _read(await sent, most)
        except ConnectionError:
            raise
        except RuntimeError as error:
            if not client.is_closed():
                raise
            raise ConnectionError("the client was closed") from error
        except FAULTS as error:
            raise ConnectionError(_describe(error)) from error

    async def _raise_for_status(self, response: httpx2.Response) -> None:
        """Before `openai` reads an error to its end, however long that is."""
        if not (response.is_success or _is_followed(response)):
            content = self._credentials.redact(await _read(response))
            raise make_status_error(response.status_code, content, response.headers)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _transport_options(endpoint: EndpointConfig) -> dict[str, Any]:
    tls = ssl.create_default_context()
    proxy = find_proxy(endpoint.url, endpoint.proxy)
    return {"proxy": proxy, "verify": tls, "trust_env": False, "follow_redirects": True}


def _client_options(endpoint: EndpointConfig, credentials: Credentials, transport: object) -> dict[str, Any]:
    """The URL may have a query, which goes with every request. Raises ConfigError."""
    try:
        parts = urlsplit(endpoint.url)
        path = parts.path.rstrip("/")
        if endpoint.api_version is not None and not path:
            path = "/openai"
        base = httpx2.URL(parts._replace(query="", path=path).geturl())
    except (httpx2.InvalidURL, ValueError) as error:
        raise ConfigError(f"{endpoint.url} is not a valid server URL ({error})", "correct its url") from None
    version = {"api_version": endpoint.api_version} if endpoint.api_version is not None else {}
    return version | {
        "base_url": str(base),
        "max_retries": 0,
        "api_key": NO_KEY,  # each request has its own
        # Headers named here override those of OPENAI_CUSTOM_HEADERS.
        "default_headers": {"User-Agent": "rampforge"} | UNSENT_DEFAULTS | credentials.headers,
        "default_query": dict(parse_qsl(parts.query, keep_blank_values=True)),
        "http_client": transport,
    }


def _authorize(endpoint: EndpointConfig, credentials: Credentials, key: str) -> openai.RequestOptions:
    """The key of one request, where the server looks for it, and no other but those of the user's headers."""
    azure = endpoint.api_version is not None
    names = ("Authorization", "api-key") if azure else ("Authorization",)
    own = {name.lower(): value for name, value in credentials.headers.items()}
    headers: dict[str, str | openai.Omit] = dict(UNSENT)
    headers |= {name: own.get(name.lower(), openai.omit) for name in names}
    if key and azure and not endpoint.key_command:
        headers["api-key"] = key
    elif key:
        headers["Authorization"] = f"Bearer {key}"
    return {"headers": headers}


def _is_followed(response: httpx2.Response) -> bool:
    """Whether a redirect sends the same request to the same host: keys in the user's headers go nowhere else."""
    if response.status_code not in RESENT or not response.has_redirect_location:
        return False
    target = response.url.join(response.headers["location"])
    return target.host == response.url.host and target.scheme in ("https", response.url.scheme)


def _check_redirect(response: httpx2.Response) -> None:
    if response.is_redirect and not _is_followed(response):
        raise make_status_error(response.status_code, b"", response.headers)


async def _read(response: httpx2.Response, most: int = 0) -> bytes:
    streamed = response.headers.get("content-type", "").startswith(EVENT_STREAM)
    most = most or (MOST_STREAM_BYTES if streamed else MOST_BYTES)
    content = bytearray()
    async with aclosing(response.aiter_bytes()) as pieces:
        async for piece in pieces:
            content += piece
            if len(content) > most:
                raise OversizedReplyError(most)
            if streamed and LAST_EVENT.search(content[-64:]):
                with suppress(TimeoutError):  # some servers leave the connection open
                    async with asyncio.timeout(END_SECONDS):
                        await anext(pieces, None)
                break
    return bytes(content)


def _describe(error: Exception) -> str:
    cause = error.__cause__ if isinstance(error, openai.APIConnectionError) and error.__cause__ else error
    text = str(cause) or type(cause).__name__
    # The aiohttp transport gives every fault of a connection as a time-out.
    unconnected = isinstance(cause, httpx2.ConnectError) or isinstance(cause.__cause__, aiohttp.ClientConnectorError)
    return f"no connection: {text}" if unconnected else text
