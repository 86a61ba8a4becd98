"""Connections are evened out between workers, and none is lost on the way."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path

import psutil
import pytest

from pipeline.llm.event_loop import new_event_loop
from pipeline.search_server.connection import Conversation
from pipeline.search_server.connection_balancer import UNEVEN, Reception
from pipeline.search_server.http_messages import Request, Response, Send
from pipeline.search_server.metrics import Counters, share_memory
from pipeline.search_server.socket_queue import Inbox
from pipeline.search_server.supervisor import SearchServer
from tests.support.passage_samples import draw_passages
from tests.support.search_samples import serve_index, serving, write_index

Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class House:
    """Some workers' receptions in one process; who answers says so."""

    def __init__(self, stack: ExitStack, workers: int) -> None:
        memory = share_memory(multiprocessing.get_context("spawn"), workers)
        self.counters = [Counters(memory, row) for row in range(workers)]
        self.listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(workers)]
        self.inboxes = [stack.enter_context(closing(Inbox())) for _ in range(workers)]
        self.receptions: dict[int, Reception] = {}

    def open(self, row: int) -> None:
        """Start a worker."""
        talk = partial(Conversation, partial(answer, row), 1000)
        self.counters[row].begin()
        self.receptions[row] = Reception(self.listeners[row], self.inboxes, self.counters[row], talk)
        self.receptions[row].open()

    def held(self) -> list[int]:
        """Connections of each worker."""
        return [len(reception.clients) for _, reception in sorted(self.receptions.items())]

    async def connect(self, row: int, count: int) -> list[Client]:
        """Clients whom the kernel brings to one worker."""
        port = self.listeners[row].getsockname()[1]
        return [await asyncio.open_connection("127.0.0.1", port) for _ in range(count)]


def answer(row: int, request: Request, send: Send) -> None:
    send(Response(200, str(row).encode()))


@contextmanager
def run_house(workers: int) -> Iterator[tuple[House, asyncio.Runner]]:
    with ExitStack() as stack, asyncio.Runner(loop_factory=new_event_loop) as runner:
        house = House(stack, workers)
        yield house, runner


@contextmanager
def no_file_left() -> Iterator[None]:
    """Let this process open no file more inside the block."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


async def ask(client: Client) -> int:
    """Who answers a client."""
    reader, writer = client
    writer.write(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n")
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    assert head.startswith(b"HTTP/1.1 200")
    return int(await reader.readexactly(1))


async def until(true: Callable[[], bool]) -> None:
    for _ in range(1000):
        if true():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never came true")


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_however_they_come_connections_are_spread_evenly(workers: int) -> None:
    async def run(house: House) -> None:
        for row in range(workers):
            house.open(row)
        clients = await house.connect(0, 30) + await house.connect(workers - 1, 10)
        await until(lambda: sum(house.held()) == 40)
        assert max(house.held()) - min(house.held()) <= UNEVEN
        answered = await asyncio.gather(*map(ask, clients))
        assert [answered.count(row) for row in range(workers)] == house.held(), "by whom they are held"
        assert await asyncio.gather(*map(ask, clients)) == answered, "and they stay there"
        for _, writer in clients:
            writer.close()
        await until(lambda: sum(house.held()) == 0)
        assert house.counters[0].list_up("connections") == [(row, 0.0) for row in range(workers)]

    with run_house(workers) as (house, runner):
        runner.run(run(house))


def test_one_that_takes_nothing_for_a_while_is_not_given_more_than_its_share() -> None:
    async def run(house: House) -> None:
        house.open(0)
        house.counters[1].begin()
        house.counters[1].put("connections", 3.0)
        clients = await house.connect(0, 5)
        await until(lambda: house.held() == [4] and house.inboxes[1].count() == 1)
        house.counters[1].put("connections", 3.0)  # it speaks of what it holds before it looks into its inbox
        clients += await house.connect(0, 2)
        await until(lambda: house.held() == [5] and house.inboxes[1].count() == 2)
        house.open(1)
        assert sorted(await asyncio.gather(*map(ask, clients))) == [0] * 5 + [1] * 2

    with run_house(2) as (house, runner):
        runner.run(run(house))


def test_a_worker_that_is_down_is_given_nothing_new_and_what_it_was_given_waits() -> None:
    async def run(house: House) -> None:
        house.open(0)
        house.counters[1].begin()  # it is believed to be up, and dies before it looks into its inbox
        clients = await house.connect(0, 8)
        await until(lambda: house.held() == [4])
        house.counters[1].put("up", 0.0)
        clients += await house.connect(0, 8)
        await until(lambda: house.held() == [12])
        house.open(1)
        assert sorted(await asyncio.gather(*map(ask, clients))) == [0] * 12 + [1] * 4

    with run_house(2) as (house, runner):
        runner.run(run(house))


def test_what_cannot_be_handed_over_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(connection: socket.socket) -> None:
        raise BlockingIOError

    async def run(house: House) -> None:
        house.open(0)
        house.counters[1].begin()
        monkeypatch.setattr(house.inboxes[1], "put", refuse)
        clients = await house.connect(0, 6)
        assert await asyncio.gather(*map(ask, clients)) == [0] * 6

    with run_house(2) as (house, runner):
        runner.run(run(house))


def test_a_client_that_has_gone_before_it_is_welcomed_leaves_nothing_behind() -> None:
    async def run(house: House) -> None:
        house.open(0)
        for _, writer in await house.connect(0, 10):
            writer.transport.abort()
        client = (await house.connect(0, 1))[0]
        assert await ask(client) == 0
        await until(lambda: house.held() == [1])
        assert house.counters[0].list_up("connections") == [(0, 1.0)]

    with run_house(1) as (house, runner):
        runner.run(run(house))


def test_a_door_without_room_rests_and_stays_shut_once_it_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.search_server.connection_balancer.REST_SECONDS", 0.05)

    async def run(house: House) -> None:
        house.open(0)
        (client,) = await house.connect(0, 1)
        await until(lambda: house.held() == [1])
        knocking = socket.create_connection(("127.0.0.1", house.listeners[0].getsockname()[1]))
        with no_file_left():
            await asyncio.sleep(0.2)
            assert await ask(client) == 0
            assert house.held() == [1]
            house.receptions[0].close()
        await asyncio.sleep(0.2)
        assert house.held() == [1]
        house.receptions[0].open()
        await until(lambda: house.held() == [2])
        knocking.close()

    with run_house(1) as (house, runner):
        runner.run(run(house))


def test_what_is_handed_to_a_worker_without_room_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.search_server.connection_balancer.REST_SECONDS", 0.05)

    async def run(house: House) -> None:
        house.open(0)
        house.counters[1].begin()
        clients = await house.connect(0, 8)
        await until(lambda: house.held() == [4])
        with no_file_left():
            house.open(1)
            await asyncio.sleep(0.2)
            assert house.held() == [4, 0]
        assert sorted(await asyncio.gather(*map(ask, clients))) == [0] * 4 + [1] * 4

    with run_house(2) as (house, runner):
        runner.run(run(house))


def test_busy_processes_share_clients_evenly(tmp_path: Path) -> None:
    index = write_index(tmp_path, draw_passages(20))
    with serving(serve_index(index, workers=2)) as server:
        for _ in range(5):
            with ExitStack() as clients:
                for _ in range(64):
                    clients.enter_context(socket.create_connection(("127.0.0.1", server.port)))
                held = until_all_are_held(server, 64)
                assert max(held) - min(held) <= 2 * UNEVEN, "each may misjudge the other by one"
            until_all_are_held(server, 0)


def until_all_are_held(server: SearchServer, count: int) -> list[int]:
    """The connections of each worker, once there are so many."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        held = [count_connections(place.pid, server.port) for place in server.places]
        if sum(held) == count:
            return held
        time.sleep(0.02)
    raise AssertionError(f"{held} of {count} connections are held")


def count_connections(pid: int | None, port: int) -> int:
    """How many clients' connections a process holds."""
    connections = psutil.Process(pid).net_connections("tcp")
    return sum(one.status == psutil.CONN_ESTABLISHED and one.laddr.port == port for one in connections)
