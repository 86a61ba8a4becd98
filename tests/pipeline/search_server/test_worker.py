"""How connections come to a worker, and what it tells of them."""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvicorn
from prometheus_client import CollectorRegistry

from pipeline.llm.event_loop import new_event_loop
from pipeline.search_server.app import RetrievalApp
from pipeline.search_server.metrics import Metrics
from pipeline.search_server.settings import ServerSettings
from pipeline.search_server.socket_queue import open_queue, receive_socket, send_socket
from pipeline.search_server.worker import WorkerServer, WorkerSockets, WorkerState
from tests.support.open_files import no_file_left
from tests.support.search_samples import SlowEngine

Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
def short_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.search_server.worker.REST_SECONDS", 0.05)


def test_a_queue_keeps_connections_in_order_and_knows_its_end() -> None:
    near, far = open_queue()
    with pytest.raises(BlockingIOError):
        receive_socket(far)
    pairs = [socket.socketpair() for _ in range(3)]
    for number, (ours, theirs) in enumerate(pairs):
        ours.send(bytes([number]))
        send_socket(near, theirs)
        assert theirs.fileno() == -1
    with no_file_left(), pytest.raises(OSError, match="open files"):
        receive_socket(far)
    near.close()
    for number, (ours, _) in enumerate(pairs):
        received = receive_socket(far)
        assert received is not None
        assert received.recv(10) == bytes([number])
        received.close()
        ours.close()
    assert receive_socket(far) is None
    far.close()


class Room:
    """A worker in this process."""

    def __init__(self) -> None:
        self.near, far = open_queue()
        self.pipe, theirs = multiprocessing.Pipe()
        self.state = WorkerState()
        metrics = Metrics(registry := CollectorRegistry())
        settings = ServerSettings(open_engine=lambda: SlowEngine(0.0))
        app = RetrievalApp(SlowEngine(0.0), settings, metrics, registry)
        config = uvicorn.Config(app, interface="asgi3", ws="none", lifespan="off", log_config=None, access_log=False)
        self.server = WorkerServer(config, WorkerSockets(far, theirs, self.state, Path(), 0, False), app, metrics)
        self.far, self.theirs = far, theirs

    async def connect(self) -> Client:
        """A client, by way of the queue."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = await asyncio.open_connection(*listener.getsockname())
            connection, _ = listener.accept()
        send_socket(self.near, connection)
        return client

    def close(self) -> None:
        for end in (self.near, self.far, self.pipe, self.theirs):
            end.close()


def run_room(use: Callable[[Room], Awaitable[None]]) -> None:
    async def run() -> None:
        room = Room()
        serving_it = asyncio.create_task(room.server.serve())
        await asyncio.to_thread(room.pipe.recv)
        await use(room)
        room.near.close()
        await asyncio.wait_for(serving_it, 10)
        room.close()

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(run())


async def ask(client: Client) -> None:
    reader, writer = client
    writer.write(b"GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n")
    reply = await asyncio.wait_for(reader.readuntil(b"}"), 10)
    assert reply.startswith(b"HTTP/1.1 200")


async def until(true: Callable[[], bool]) -> None:
    for _ in range(1000):
        if true():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never came true")


def test_a_worker_counts_the_connections_that_have_ended_and_ends_with_its_queue() -> None:
    async def use(room: Room) -> None:
        clients = [await room.connect() for _ in range(5)]
        await asyncio.gather(*map(ask, clients))
        assert room.state.closed == 0
        assert time.monotonic() - room.state.heartbeat < 5
        clients[0][1].close()
        (await room.connect())[1].transport.abort()
        await until(lambda: room.state.closed == 2)
        assert len(room.server.server_state.connections) == 4

    run_room(use)


@pytest.mark.usefixtures("short_rest")
def test_what_is_sent_to_a_worker_without_room_waits_for_it() -> None:
    async def use(room: Room) -> None:
        clients = [await room.connect() for _ in range(3)]
        await asyncio.gather(*map(ask, clients))
        late = await room.connect()
        with no_file_left():
            await asyncio.sleep(0.2)
            await ask(clients[0])
            assert len(room.server.server_state.connections) == 3
        await ask(late)

    run_room(use)
