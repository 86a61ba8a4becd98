"""Connections are evened out between workers, and none is lost on the way."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from pipeline.search_server.connection_balancer import SILENT_SECONDS, ConnectionBalancer
from pipeline.search_server.supervisor import SearchServer
from tests.support.open_files import no_file_left
from tests.support.passage_samples import draw_passages
from tests.support.search_samples import serve_index, serving, write_index


class Worker:
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.ready, self.full, self.silent = True, False, 0.0
        self.taken: list[socket.socket] = []

    @property
    def connections(self) -> int:
        return len(self.taken)

    def seconds_silent(self, now: float) -> float:
        return self.silent

    def send(self, connection: socket.socket) -> bool:
        if not self.full:
            self.taken.append(connection)
        return not self.full

    def close(self) -> None:
        for connection in self.taken:
            connection.close()


class House:
    """A balancer before some workers."""

    def __init__(self, stack: ExitStack, workers: int) -> None:
        self._stack = stack
        self.workers = [Worker() for _ in range(workers)]
        self.listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.balancer = ConnectionBalancer(self.listener, self.workers)
        stack.callback(self.balancer.close)

    def connect(self, count: int) -> None:
        """So many clients, and the supervisor's turn."""
        for _ in range(count):
            self._stack.enter_context(socket.create_connection(self.listener.getsockname()))
        self.look()

    def look(self) -> None:
        """The supervisor's turn."""
        if self.balancer.is_open():
            self.balancer.accept()
        self.balancer.distribute([])

    def held(self) -> list[int]:
        """Connections of each worker."""
        return [worker.connections for worker in self.workers]


@pytest.fixture
def house() -> Iterator[Callable[[int], House]]:
    with ExitStack() as stack:

        def build(workers: int) -> House:
            house = House(stack, workers)
            for worker in house.workers:
                stack.callback(worker.close)
            return house

        yield build


@pytest.fixture
def short_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.search_server.connection_balancer.REST_SECONDS", 0.05)


@pytest.mark.parametrize(("workers", "held"), [(1, [40]), (2, [20, 20]), (3, [14, 13, 13])])
def test_connections_are_shared_evenly(house: Callable[[int], House], workers: int, held: list[int]) -> None:
    built = house(workers)
    built.connect(40)
    assert built.held() == held
    for _ in range(13):
        built.workers[-1].taken.pop().close()
    built.connect(13)
    assert built.held() == held


def test_a_worker_that_is_stuck_is_given_nobody_unless_all_are(house: Callable[[int], House]) -> None:
    built = house(2)
    built.workers[0].silent = SILENT_SECONDS + 1
    built.connect(10)
    assert built.held() == [0, 10]
    built.workers[1].silent = SILENT_SECONDS + 1
    built.connect(10)
    assert built.held() == [10, 10]


def test_a_worker_that_is_down_is_given_nothing_and_without_any_all_wait(house: Callable[[int], House]) -> None:
    built = house(2)
    built.workers[0].ready = False
    built.connect(8)
    assert built.held() == [0, 8]
    built.workers[1].ready = False
    built.connect(8)
    assert built.held() == [0, 8]
    built.workers[0].ready = True
    built.look()
    assert built.held() == [8, 8]


@pytest.mark.usefixtures("short_rest")
def test_what_one_has_no_room_for_goes_to_another_or_waits(house: Callable[[int], House]) -> None:
    built = house(2)
    built.workers[0].full = True
    built.connect(6)
    assert built.held() == [0, 6]
    built.workers[1].full = True
    built.connect(6)
    assert not built.balancer.is_open()
    built.workers[0].full = False
    time.sleep(0.06)
    built.look()
    assert built.held() == [6, 6]


@pytest.mark.usefixtures("short_rest")
def test_a_supervisor_without_room_rests(house: Callable[[int], House]) -> None:
    built = house(1)
    knocking = socket.create_connection(built.listener.getsockname())
    with no_file_left():
        built.look()
        assert not built.balancer.is_open()
    time.sleep(0.06)
    built.look()
    assert built.held() == [1]
    knocking.close()


def test_busy_processes_share_clients_evenly(tmp_path: Path) -> None:
    index = write_index(tmp_path, draw_passages(20))
    with serving(serve_index(index, workers=2)) as server:
        for _ in range(5):
            with ExitStack() as clients:
                for _ in range(64):
                    clients.enter_context(socket.create_connection(("127.0.0.1", server.port)))
                assert until_all_are_held(server, 64) == [32, 32]
            until_all_are_held(server, 0)


def until_all_are_held(server: SearchServer, count: int) -> list[int]:
    """The connections of each worker, once there are so many."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        held = [count_connections(worker.pid, server.port) for worker in server.workers]
        if sum(held) == count:
            return held
        time.sleep(0.02)
    raise AssertionError(f"{held} of {count} connections are held")


def count_connections(pid: int | None, port: int) -> int:
    """How many clients' connections a process holds."""
    connections = psutil.Process(pid).net_connections("tcp")
    return sum(one.status == psutil.CONN_ESTABLISHED and one.laddr.port == port for one in connections)
