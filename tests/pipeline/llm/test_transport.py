"""Our HTTP transport: replies however they are cut, connections kept, lost, closed and cancelled, TLS, proxies."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.llm import transport
from pipeline.llm.transport import Connection, DirectTransport, HttpReply, ProxiedTransport
from tests.support.fault_server import FaultServer

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[None]]
"""Reader, writer and the number of the connection, from 0."""
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class FakeSocket(asyncio.Transport):
    def __init__(self) -> None:
        self.aborted = False

    def writelines(self, list_of_data: Any) -> None:
        pass

    def abort(self) -> None:
        self.aborted = True


def frame(content: bytes, how: str, chunk: int) -> bytes:
    """A whole answer."""
    head = b"HTTP/1.1 200 OK\r\nX-Kind: a\r\n"
    if how == "length":
        return head + b"Content-Length: %d\r\n\r\n%b" % (len(content), content)
    if how == "close":
        return head + b"\r\n" + content
    parts = [content[start : start + chunk] for start in range(0, len(content), chunk)]
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in [*parts, b""])


@given(
    st.binary(max_size=200),
    st.sampled_from(["length", "chunked", "close"]),
    st.integers(1, 50),
    st.lists(st.integers(1, 60), max_size=40),
    st.booleans(),
)
def test_a_reply_is_whole_however_it_is_cut(
    content: bytes, how: str, chunk: int, pieces: list[int], interim: bool
) -> None:
    async def receive() -> HttpReply:
        connection = Connection()
        connection.connection_made(FakeSocket())
        answer = connection.send(b"GET")
        rest = (b"HTTP/1.1 100 Continue\r\n\r\n" if interim else b"") + frame(content, how, chunk)
        for size in pieces:
            connection.data_received(rest[:size]) if rest[:size] else None
            rest = rest[size:]
        if rest:
            connection.data_received(rest)
        assert answer.done() == (how != "close")
        assert connection.usable == (how != "close")
        connection.connection_lost(None)
        return await answer

    reply = asyncio.run(receive())
    assert (reply.status, reply.content, reply.headers["x-kind"]) == (200, content, "a")


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", b"HTTP/1.1 200 OK\r\nConte"]
)
@pytest.mark.parametrize("error", [None, ConnectionResetError("reset")])
def test_a_reply_cut_off_is_an_error(said: bytes, error: Exception | None) -> None:
    async def receive() -> HttpReply:
        connection = Connection()
        connection.connection_made(FakeSocket())
        answer = connection.send(b"GET")
        if said:
            connection.data_received(said)
        connection.connection_lost(error)
        return await answer

    with pytest.raises(ConnectionError):
        asyncio.run(receive())


def test_what_nobody_asked_for_closes_the_connection() -> None:
    connection, socket = Connection(), FakeSocket()
    connection.connection_made(socket)
    connection.data_received(b"HTTP/1.1 408 Too late\r\n\r\n")
    assert socket.aborted
    assert not connection.usable


def run_against(script: Script, client: Callable[[DirectTransport], Awaitable[None]]) -> int:
    """Play a server; the number of connections that the client made."""

    async def run() -> int:
        async with listen(script) as (port, made):
            direct = DirectTransport(f"http://127.0.0.1:{port}/v1", {"x-key": "k"})
            await client(direct)
            await direct.close()
        return len(made)

    return asyncio.run(asyncio.wait_for(run(), 20))


@asynccontextmanager
async def listen(script: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[int, list[int]]]:
    made: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        made.append(len(made))
        try:
            await script(reader, writer, made[-1])
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1], made


async def answer_each(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"POST /v1/chat%20now HTTP/1.1\r\nhost: 127.0.0.1:")
        assert b"\r\nx-key: k\r\n" in head
        await reader.readexactly(2)
        writer.write(OK)


async def ask(direct: DirectTransport) -> bytes:
    return (await direct.request("POST", "/v1/chat now", b"{}")).content


def test_connections_are_kept_and_one_carries_one_request_at_a_time() -> None:
    async def client(direct: DirectTransport) -> None:
        assert [await ask(direct) for _ in range(3)] == [b"ok"] * 3
        assert await asyncio.gather(*(ask(direct) for _ in range(3))) == [b"ok"] * 3

    assert run_against(answer_each, client) == 3


def test_a_connection_idle_for_long_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "IDLE_SECONDS", 0.0)

    async def client(direct: DirectTransport) -> None:
        assert [await ask(direct), await ask(direct)] == [b"ok"] * 2

    assert run_against(answer_each, client) == 2


def test_a_server_that_closes_what_is_idle_costs_no_request() -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await reader.readuntil(b"{}")
        writer.write(OK)

    async def client(direct: DirectTransport) -> None:
        for _ in range(3):
            assert await ask(direct) == b"ok"
            await asyncio.sleep(0.05)

    assert run_against(once, client) == 3


def test_a_cancelled_request_takes_its_connection_with_it() -> None:
    async def slow_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await reader.readuntil(b"{}")
        if number == 0:
            await asyncio.sleep(0.1)
            writer.write(OK.replace(b"ok", b"no"))
        writer.write(OK)
        await reader.read()

    async def client(direct: DirectTransport) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await ask(direct)
        assert await ask(direct) == b"ok"

    assert run_against(slow_first, client) == 2


@pytest.mark.parametrize("said", [b"SSH-2.0-server\r\n", b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", b""])
def test_a_server_that_does_not_speak_http_is_an_error(said: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await reader.readuntil(b"{}")
        writer.write(said)

    async def client(direct: DirectTransport) -> None:
        with pytest.raises(ConnectionError):
            await ask(direct)

    assert run_against(talk, client) == 1


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/v1", "http://no-such-host.invalid/v1", f"http://{'x' * 70}/v1"])
def test_a_host_that_is_not_there_is_an_error(url: str) -> None:
    with pytest.raises(ConnectionError, match="no connection to"):
        asyncio.run(DirectTransport(url, {}).request("GET", "/"))


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_tls_is_spoken_and_its_certificates_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    words += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    words += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", *words], check=True, capture_output=True)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await reader.readuntil(b"{}")
        writer.write(OK)

    async def run() -> bytes:
        async with listen(talk, tls) as (port, _):
            direct = DirectTransport(f"https://localhost:{port}", {})
            try:
                return await ask(direct)
            finally:
                await direct.close()

    with pytest.raises(ConnectionError, match="certificate"):
        asyncio.run(run())
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert asyncio.run(run()) == b"ok"


def test_a_proxy_is_asked_instead_of_the_server() -> None:
    async def run(proxy: str) -> HttpReply:
        proxied = ProxiedTransport("http://far.invalid/v1", {"content-type": "application/json"}, proxy)
        try:
            return await proxied.request("POST", "/v1/chat/completions", body)
        finally:
            await proxied.close()

    body = b'{"model": "m", "messages": [{"role": "user", "content": "hello"}]}'
    with FaultServer() as server:
        reply = asyncio.run(run(server.url.removesuffix("/v1")))
    assert reply.status == 200
    assert b"echo hello" in reply.content
    with pytest.raises(ConnectionError):
        asyncio.run(cast(Any, run("http://127.0.0.1:9")))
