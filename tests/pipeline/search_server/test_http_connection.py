"""The limits of one connection, over real sockets: sizes, slow clients, refusals in order."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from pipeline.llm.event_loop import new_event_loop
from pipeline.search_server.http_connection import MAX_HEAD, REPLY_SECONDS, REQUEST_SECONDS, HttpConnection

SECOND = 0.005
"""How long a second lasts here."""
HEAD = b"POST /x HTTP/1.1\r\nhost: h\r\n"
BIG = 64 << 20
Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the method and the body; to /early before it has read the body, to /big with much."""
    body = b"early" if scope["path"] == "/early" else await read(receive)
    if len(body) % 2:  # some answers take a while
        await asyncio.sleep(0.01)
    answer = scope["method"].encode() + b" " + (b"x" * BIG if scope["path"] == "/big" else body)
    headers = [(b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


async def read(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


@asynccontextmanager
async def serve(app: ASGIApp, keep_alive: int = 75) -> AsyncIterator[tuple[int, ServerState]]:
    """The port, and what uvicorn knows of the connections."""
    config = uvicorn.Config(app, interface="asgi3", ws="none", lifespan="off", log_config=None, access_log=False)
    config.load()
    config.timeout_keep_alive = keep_alive
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(partial(HttpConnection, config, state, {}), "127.0.0.1", 0)
    ticking = asyncio.create_task(tick(state))
    async with server:
        yield server.sockets[0].getsockname()[1], state
    ticking.cancel()


async def tick(state: ServerState) -> None:
    while True:
        await asyncio.sleep(SECOND)
        for connection in tuple(state.connections):
            assert isinstance(connection, HttpConnection)
            connection.on_second()


async def talk(port: int, *pieces: bytes) -> bytes:
    """All that the server sends until it closes the connection, which it may do before it has got everything."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()


def ask(*pieces: bytes, app: ASGIApp = echo, keep_alive: int = 75) -> tuple[list[int], bytes]:
    """The statuses of what the server sends until it closes the connection, and all of it."""

    async def run() -> bytes:
        async with serve(app, keep_alive) as (port, _):
            return await talk(port, *pieces)

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        sent = runner.run(run())
    return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d+)", sent)], sent


def post(body: bytes, head: bytes = b"") -> bytes:
    return HEAD + b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body)


LAST = post(b"last", b"connection: close\r\n")


@settings(deadline=None, max_examples=25)
@given(st.lists(st.binary(max_size=30).map(bytes.hex), min_size=1, max_size=20), st.integers(1, 200))
def test_however_requests_are_cut_they_are_answered_in_order(bodies: list[str], size: int) -> None:
    stream = b"".join(post(body.encode()) for body in bodies) + LAST
    _, sent = ask(*(stream[start : start + size] for start in range(0, len(stream), size)))
    assert re.findall(rb"POST ([0-9a-z]*)", sent) == [*(body.encode() for body in bodies), b"last"]


def test_a_body_in_chunks_and_one_that_waits_to_be_asked_for() -> None:
    chunked = HEAD + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    assert b"POST abcde" in ask(chunked, LAST)[1]
    assert ask(post(b"abc", b"expect: 100-continue\r\n")[:-3], b"abc", LAST)[0] == [100, 200, 200]


@pytest.mark.parametrize(
    ("pieces", "statuses"),
    [
        ([b"\x16\x03\x01 nonsense\r\n\r\n"], [400]),
        ([b"GET /x HTTP/1.1\r\ncontent-length: many\r\n\r\n"], [400]),
        ([HEAD, *[b"a: b\r\n" * 1000] * 100], [431]),
        ([HEAD + b"a: ", *[b"x" * 5000] * 100], [431]),
        ([b"GET /", *[b"x" * 5000] * 100], [431]),
        ([HEAD + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n", *[b"a: b\r\n" * 1000] * 100], [431]),
        ([HEAD + b"transfer-encoding: chunked\r\n\r\n1;", *[b"x" * 5000] * 100], [431]),
        ([post(b"abc") + HEAD, *[b"a: b\r\n" * 1000] * 100], [200, 431]),
        ([post(b"a") + b"GARBAGE"], [200, 400]),
        ([post(b"a"), b"GARBAGE"], [200, 400]),
        ([post(b"a") * 3 + b"GARBAGE"], [200, 200, 200, 400]),
        ([post(b"a") + HEAD + b"transfer-encoding: chunked\r\n\r\nno length\r\n"], [200, 400]),
        ([LAST + b"x"], [200]),
    ],
)
def test_what_is_wrong_is_refused_after_the_answers_before_it(pieces: list[bytes], statuses: list[int]) -> None:
    assert ask(*pieces)[0] == statuses


def test_a_head_that_does_not_end_is_not_kept() -> None:
    async def run() -> int:
        async with serve(echo) as (port, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(HEAD)
            sent = 0
            while not reader.at_eof() and not writer.is_closing() and sent < 100 * MAX_HEAD:
                writer.write(b"a: b\r\n" * 100)
                sent += 600
                await asyncio.sleep(0)
                if await received(reader):
                    break
            writer.close()
            return sent

    assert asyncio.run(run()) < 100 * MAX_HEAD


async def received(reader: asyncio.StreamReader) -> bool:
    try:
        return bool(await asyncio.wait_for(reader.read(1), 0.0005))
    except TimeoutError:
        return False


@pytest.mark.parametrize("cut", [1, 60, -5, -3, 1000])
def test_an_offer_of_another_protocol_is_ignored_and_its_request_answered(cut: int) -> None:
    """What `curl --http2` and Java's client send."""
    upgrade = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"
    for request in (
        post(b"abcd", upgrade),
        HEAD + upgrade + b"transfer-encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n",
    ):
        statuses, sent = ask(request[:cut], request[cut:], LAST)
        assert statuses == [200, 200]
        assert b"POST abcd" in sent
    assert ask(b"GET /x HTTP/1.1\r\nhost: h\r\n" + upgrade + b"\r\n", LAST)[0] == [200, 200]
    assert ask(b"CONNECT h:1 HTTP/1.1\r\nhost: h\r\n\r\n")[0] == [405]


def test_the_slow_are_let_go() -> None:
    assert ask(b"POST /x HTT")[0] == [408]
    assert ask(HEAD)[0] == [408]
    assert ask(post(b"abcdef")[:-1])[0] == [408]
    assert ask(post(b"a"), HEAD)[0] == [200, 408]
    assert ask(post(b"abcdef").replace(b"/x", b"/early")[:-1])[0] == [200], "it has its answer"


def test_a_client_that_sends_nothing_is_let_go() -> None:
    assert ask(keep_alive=1) == ([], b"")
    assert ask(post(b"a"), keep_alive=1)[0] == [200]


def test_a_client_that_takes_no_reply_is_cut_off() -> None:
    async def run() -> None:
        async with serve(echo) as (port, state):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(post(b"").replace(b"/x", b"/big"))
            await asyncio.sleep(REPLY_SECONDS * SECOND / 2)
            assert len(state.connections) == 1
            for _ in range(1000):
                if not state.connections:
                    break
                await asyncio.sleep(SECOND)
            assert not state.connections
            assert not state.tasks
            with pytest.raises(asyncio.IncompleteReadError):
                await reader.readexactly(BIG)
            writer.close()

    asyncio.run(run())


def test_a_client_that_reads_slowly_gets_everything() -> None:
    async def run() -> int:
        async with serve(echo) as (port, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
            writer.write(post(b"").replace(b"/x", b"/big"))
            got = 0
            while got < BIG and (piece := await reader.read(1 << 20)):
                got += len(piece)
                await asyncio.sleep(SECOND)
            writer.close()
            return got

    assert asyncio.run(run()) >= BIG


def test_time_in_which_the_server_does_not_read_does_not_count() -> None:
    """A request behind one that takes long: uvicorn reads it later."""

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(2 * REQUEST_SECONDS * SECOND)
        await echo(scope, receive, send)

    half = post(b"x" * 1000)
    assert ask(post(b"ab") + half[:-500], half[-500:] + LAST, app=slow)[0] == [200, 200, 200]
