"""The openai clients as we open them: replies however they are framed, connections kept, lost and cancelled, TLS,
proxies, and what is sent."""

from __future__ import annotations

import asyncio
import gzip
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from pipeline.errors import ConfigError
from pipeline.http.errors import HttpStatusError, RefusalError, ThrottledError
from pipeline.llm import client
from pipeline.llm.client import AsyncApiClient
from tests.support.api_clients import open_async, open_sync
from tests.support.fault_server import FaultServer
from tests.support.scripted_http import Said, ScriptedHttp

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[None]]
"""Reader, writer and the number of the connection, from 0."""
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def ask(way: AsyncApiClient) -> bytes:
    return await way.request("/chat/completions", b"{}")


def run_against(script: Script, work: Callable[[AsyncApiClient], Awaitable[None]]) -> int:
    """Play a server; the number of connections that the client made."""

    async def run() -> int:
        async with (
            listen(script) as (port, made),
            open_async(f"http://127.0.0.1:{port}/v1", "k", None, 8) as way,
        ):
            await work(way)
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


def say(*answers: bytes) -> Script:
    """A server that gives these answers on each connection, a request each, and closes it."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        for answer in answers:
            await reader.readuntil(b"{}")
            writer.write(answer)

    return script


@pytest.mark.parametrize(
    "answer",
    [
        OK,
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"ok", mtime=0),
    ],
)
def test_a_reply_is_whole_however_it_is_framed(answer: bytes) -> None:
    async def work(way: AsyncApiClient) -> None:
        assert await ask(way) == b"ok"

    assert run_against(say(answer), work) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nConte",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nno gzip",
        b"SSH-2.0-server\r\n",
        b"HTTP/1.1 429 Slow\r\nContent-Length: 9\r\n\r\nhalf",
    ],
)
def test_a_reply_cut_off_or_not_of_http_is_an_error(answer: bytes) -> None:
    async def work(way: AsyncApiClient) -> None:
        with pytest.raises(ConnectionError):
            await ask(way)

    assert run_against(say(answer), work) == 1


def test_connections_are_kept_and_one_carries_one_request_at_a_time() -> None:
    async def work(way: AsyncApiClient) -> None:
        assert [await ask(way) for _ in range(3)] == [b"ok"] * 3
        assert await asyncio.gather(*(ask(way) for _ in range(3))) == [b"ok"] * 3

    assert run_against(say(*[OK] * 6), work) == 3


def test_a_connection_idle_for_long_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "IDLE_SECONDS", 0.01)

    async def work(way: AsyncApiClient) -> None:
        assert await ask(way) == b"ok"
        await asyncio.sleep(0.05)
        assert await ask(way) == b"ok"

    assert run_against(say(OK, OK), work) == 2


def test_a_server_that_closes_what_is_idle_costs_no_request() -> None:
    async def work(way: AsyncApiClient) -> None:
        for _ in range(3):
            assert await ask(way) == b"ok"
            await asyncio.sleep(0.05)

    assert run_against(say(OK), work) == 3


def test_a_cancelled_request_takes_its_connection_with_it() -> None:
    async def slow_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await reader.readuntil(b"{}")
        if number == 0:
            await asyncio.sleep(0.3)
            writer.write(OK.replace(b"ok", b"no"))
        writer.write(OK)
        await reader.read()

    async def work(way: AsyncApiClient) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await ask(way)
        assert await ask(way) == b"ok"

    assert run_against(slow_first, work) == 2


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/v1", "http://no-such-host.invalid/v1", f"http://{'x' * 70}/v1"])
def test_a_host_that_is_not_there_is_an_error(url: str) -> None:
    async def run() -> None:
        async with open_async(url, "", None, 1) as way:
            await ask(way)

    said = "no connection|label too long"
    with pytest.raises(ConnectionError, match=said):
        asyncio.run(run())
    with open_sync(url, "", None, 5) as way, pytest.raises(ConnectionError, match=said):
        way.request("/models")


def test_an_address_that_is_none_is_a_mistake_in_the_configuration() -> None:
    with pytest.raises(ConfigError):
        open_sync("http://[::1/v1", "", None, 5)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_tls_is_spoken_and_its_certificates_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    words += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    words += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", *words], check=True, capture_output=True)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)

    async def run() -> bytes:
        async with (
            listen(say(OK), tls) as (port, _),
            open_async(f"https://localhost:{port}", "", None, 1) as way,
        ):
            return await ask(way)

    with pytest.raises(ConnectionError, match="certificate"):
        asyncio.run(run())
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert asyncio.run(run()) == b"ok"


def test_a_proxy_is_asked_instead_of_the_server() -> None:
    async def run(proxy: str) -> bytes:
        async with open_async("http://far.invalid/v1", "", proxy, 1) as way:
            return await way.request("/chat/completions", body)

    body = b'{"model": "m", "messages": [{"role": "user", "content": "hello"}]}'
    with FaultServer() as server:
        assert b"echo hello" in asyncio.run(run(server.url.removesuffix("/v1")))
    with pytest.raises(ConnectionError):
        asyncio.run(run("http://127.0.0.1:9"))


def test_a_query_of_the_base_url_goes_with_every_request() -> None:
    asked = []

    def script(request: object, body: bytes, number: int) -> Said:
        asked.append(str(getattr(request, "rel_url", "")))
        return Said()

    async def run(url: str) -> None:
        async with open_async(url, "", None, 1) as way:
            await ask(way)

    with ScriptedHttp(script) as server:
        asyncio.run(run(f"{server.url}/v1/?api-version=2024"))
    assert asked == ["/v1/chat/completions?api-version=2024"]


@pytest.mark.parametrize(
    ("said", "kind", "seconds"),
    [
        (Said(429, b"slow", {"retry-after": "3"}), ThrottledError, 3.0),
        (Said(429, b"slow", {"llm_provider-retry-after": "4"}), ThrottledError, 4.0),
        (Said(404, b'{"error": {"message": "no such model"}}'), RefusalError, 0.0),
        (Said(307, b"", {"location": "http://elsewhere/v1"}), RefusalError, 0.0),
    ],
)
def test_every_other_status_is_an_error_with_what_was_said(
    said: Said, kind: type[HttpStatusError], seconds: float
) -> None:
    async def run(url: str) -> None:
        async with open_async(url, "", None, 1) as way:
            await ask(way)

    with ScriptedHttp(lambda request, body, number: said) as server:
        with pytest.raises(kind) as first:
            asyncio.run(run(server.url))
        with open_sync(server.url, "", None, 5) as way, pytest.raises(kind) as second:
            way.request("/models")
        assert len(server.asked) == 2
    for caught in (first.value, second.value):
        assert caught.retry_after == seconds
        assert caught.detail == " ".join(said.body.decode().split())
        assert caught.location == said.headers.get("location", "")


def test_a_closed_client_is_a_lost_connection() -> None:
    async def run() -> None:
        async with open_async("http://127.0.0.1:9/v1", "k", None, 8) as way:
            pass
        with pytest.raises(ConnectionError):
            await ask(way)

    asyncio.run(run())


@pytest.mark.parametrize("status", [307, 308])
def test_a_redirect_on_the_same_host_is_followed_with_the_key_and_the_body(status: int) -> None:
    def script(request: web.Request, body: bytes, number: int) -> Said:
        here = request.path == "/new/chat/completions"
        return Said(200, body) if here else Said(status, headers={"location": "/new/chat/completions"})

    async def run(url: str) -> bytes:
        async with open_async(f"{url}/v1", "sk-mine") as way:
            return await way.request("/chat/completions", b'{"a": 1}')

    with ScriptedHttp(script) as server:
        assert asyncio.run(run(server.url)) == b'{"a": 1}'
        assert [headers["authorization"] for headers in server.headers] == ["Bearer sk-mine"] * 2
        assert not [name for headers in server.headers for name in headers if name.lower().startswith("x-stainless")]


def test_a_stream_ends_with_its_last_event_though_the_connection_stays_open() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    events = b"data: {}\n\ndata: [DONE]\n\n"

    async def leave_open(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await reader.readuntil(b"{}")
        writer.write(head + events)
        await reader.read()

    async def work(way: AsyncApiClient) -> None:
        assert [await ask(way), await ask(way)] == [events, events]

    assert run_against(leave_open, work) == 2
