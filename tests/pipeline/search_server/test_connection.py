"""The search server's own HTTP: what one connection may say, and what it hears."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.search_server.connection import KEEP_ALIVE, MOST_HEADERS, REQUEST_SECONDS, Conversation
from pipeline.search_server.http_messages import Request, Response, Send


class Wire(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.closed = False

    def write(self, data: Any) -> None:
        self.sent += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


def echo(request: Request, send: Send) -> None:
    response = Response(200, f"{request.method} {request.path} ".encode() + request.body)
    if len(request.body) % 2:  # some answers are there at once
        send(response)
    else:
        asyncio.get_running_loop().call_soon(send, response)


def talk(*pieces: bytes, then: Callable[[Conversation], None] = lambda conversation: None) -> tuple[Wire, int]:
    """What is answered to the pieces, one after the other, and how many conversations are left."""

    async def run() -> tuple[Wire, int]:
        wire, others = Wire(), set[Conversation]()
        conversation = Conversation(echo, 1000, others)
        conversation.connection_made(wire)
        for piece in pieces:
            conversation.data_received(piece)
            await asyncio.sleep(0)
        then(conversation)
        for _ in range(200):
            await asyncio.sleep(0)
        left = len(others)
        conversation.connection_lost(None)
        assert not others
        return wire, left

    return asyncio.run(run())


def post(body: bytes, head: bytes = b"") -> bytes:
    return b"POST /x?y=1 HTTP/1.1\r\nhost: h\r\n%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body)


def statuses(wire: Wire) -> list[int]:
    return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d+)", wire.sent)]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.binary(max_size=30).map(bytes.hex), min_size=1, max_size=40), st.integers(1, 200))
def test_however_requests_are_cut_they_are_answered_in_order(bodies: list[str], size: int) -> None:
    stream = b"".join(post(body.encode()) for body in bodies)
    wire, _ = talk(*(stream[start : start + size] for start in range(0, len(stream), size)))
    assert re.findall(rb"POST /x ([0-9a-f]*)", wire.sent) == [body.encode() for body in bodies]
    assert not wire.closed


def test_a_body_in_chunks_and_one_that_waits_to_be_asked_for() -> None:
    chunked = b"POST /x HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    assert talk(chunked)[0].sent.endswith(b"POST /x abcde")
    assert statuses(talk(post(b"abc", b"expect: 100-continue\r\n"))[0]) == [100, 200]


def test_what_is_wrong_is_said_and_the_connection_closed() -> None:
    for said, status in (
        (b"\x16\x03\x01 nonsense\r\n\r\n", 400),
        (b"GET /x HTTP/1.1\r\ncontent-length: many\r\n\r\n", 400),
        (post(b"x" * 1001), 413),
        (b"POST /x HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n7d0\r\n" + b"x" * 2000, 413),
        (b"GET /x HTTP/1.1\r\na: " + b"x" * MOST_HEADERS + b"\r\n\r\n", 431),
    ):
        wire, _ = talk(said)
        assert (statuses(wire), wire.closed) == ([status], True)
        assert b"connection: close" in wire.sent


def test_clients_that_close_keep_or_only_want_the_head() -> None:
    wire, _ = talk(post(b"a", b"connection: close\r\n"))
    assert (statuses(wire), wire.closed) == ([200], True)
    wire, _ = talk(b"HEAD /x HTTP/1.1\r\nhost: h\r\n\r\n")
    assert wire.sent.endswith(b"content-length: 8\r\n\r\n")


def test_who_asks_for_another_protocol_is_answered_in_this_one() -> None:
    wire, _ = talk(b"GET /x HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n")
    assert (statuses(wire), wire.closed) == ([200], True)
    assert b"connection: close" in wire.sent


def test_many_requests_at_once_are_no_burden() -> None:
    wire, _ = talk(post(b"a") * 2000)
    assert len(statuses(wire)) == 2000


def test_the_silent_are_let_go() -> None:
    def after(seconds: float) -> Callable[[Conversation], None]:
        return lambda conversation: conversation.look(asyncio.get_running_loop().time() + seconds)

    assert statuses(talk(b"POST /x HTTP/1.1\r\n", then=after(REQUEST_SECONDS + 1))[0]) == [408]
    assert not talk(b"POST /x HTTP/1.1\r\n", then=after(REQUEST_SECONDS - 1))[0].closed
    assert talk(post(b"a"), then=after(KEEP_ALIVE + 1))[0].sent
    assert talk(then=after(KEEP_ALIVE + 1))[0].closed
    wire, _ = talk(post(b"a") + post(b"b"), then=Conversation.finish)
    assert (statuses(wire), wire.closed) == ([200, 200], True)
