"""HTTP as a server of few routes needs it, on ASGI: a request read within limits, a response sent whole."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

JSON = b"application/json"
BODY_SECONDS = 30.0
"""How long a body may take to come in: a client that stops in the middle holds nothing for longer."""


@dataclass(frozen=True, slots=True)
class Response:
    """What is sent back."""

    status: int
    body: bytes
    kind: bytes = JSON
    headers: Mapping[bytes, bytes] = field(default_factory=dict)


class RequestError(Exception):
    """A request that is turned away, with the reason as the client is told it."""

    def __init__(self, status: int, what: str, headers: Mapping[bytes, bytes] | None = None) -> None:
        super().__init__(what)
        self.response = Response(status, orjson.dumps({"error": what}), headers=headers or {})


class ClientGoneError(Exception):
    """Nobody waits for an answer any more."""


async def read_body(scope: Scope, receive: Receive, most: int) -> bytes:
    """The body of a request. Raises RequestError for one that is too long or too slow, and ClientGoneError."""
    too_long = RequestError(413, f"the request is longer than {most:,} bytes", {b"connection": b"close"})
    announced = find_header(scope, b"content-length")
    if announced and int(announced) > most:
        raise too_long
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGoneError
                body += message.get("body", b"")
                if len(body) > most:
                    raise too_long
                if not message.get("more_body"):
                    return bytes(body)
    except TimeoutError:
        what = f"the request did not come in within {BODY_SECONDS:g} s"
        raise RequestError(408, what, {b"connection": b"close"}) from None


async def send_response(send: Send, response: Response, head_only: bool) -> None:
    """Send it; without its body where only the head was asked for."""
    headers = [
        (b"content-type", response.kind),
        (b"content-length", b"%d" % len(response.body)),
        *response.headers.items(),
    ]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head_only else response.body})


def find_header(scope: Scope, name: bytes) -> bytes | None:
    """The value of a header, named in lower case."""
    return next((value for key, value in scope["headers"] if key == name), None)
