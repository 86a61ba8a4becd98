"""HTTP as a server of few routes needs it: a request that has come in whole, a response that is sent whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

import orjson

JSON = b"application/json"
FIRST_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


@dataclass(frozen=True, slots=True)
class Request:
    """What a client sent."""

    method: str
    path: str
    headers: Mapping[bytes, bytes]
    """By their names in lower case."""
    body: bytes
    keep: bool = True
    """Whether the client goes on with the connection."""


@dataclass(frozen=True, slots=True)
class Response:
    """What is sent back."""

    status: int
    body: bytes
    kind: bytes = JSON
    headers: Mapping[bytes, bytes] = field(default_factory=dict)


Send = Callable[[Response], None]


class RequestError(Exception):
    """A request that is turned away, with the reason as the client is told it."""

    def __init__(self, status: int, what: str, headers: Mapping[bytes, bytes] | None = None) -> None:
        super().__init__(what)
        self.response = Response(status, orjson.dumps({"error": what}), headers=headers or {})


def write_response(response: Response, head_only: bool = False, keep: bool = True) -> bytes:
    """The bytes to send; without the body where only the head was asked for."""
    parts = [FIRST_LINES[response.status], b"content-type: ", response.kind]
    for name, value in response.headers.items():
        parts += b"\r\n", name, b": ", value
    end = b"\r\n\r\n" if keep else b"\r\nconnection: close\r\n\r\n"
    parts += b"\r\ncontent-length: %d" % len(response.body), end, b"" if head_only else response.body
    return b"".join(parts)
