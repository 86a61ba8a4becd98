"""Takes clients in, and passes on those that another worker has more time for.

The kernel spreads connections over the workers by chance: of 64, one of two workers may get 42, and as clients keep
their connections, its queries wait for ever while the other idles. So a worker that holds more than the least busy one
hands a new connection over, as an open file, through that worker's inbox.

What a worker holds is counted with what waits in its inbox: it may be busy, and take nothing for a while.

Promises: a connection is held by one worker, or waits in the inbox of one, also of one that is being started again;
what cannot be handed over is kept.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator, MutableSet, Sequence
from functools import partial

from pipeline.search_server.connection import Conversation
from pipeline.search_server.metrics import Counters
from pipeline.search_server.socket_queue import Inbox

UNEVEN = 2
"""So many more than another worker are too many."""
AT_ONCE = 64
"""Connections that are taken in before what is under way gets its turn."""
REST_SECONDS = 1.0
"""How long none is taken in where the machine has no room for another."""


class Clients(MutableSet[Conversation]):
    """The conversations of a worker, whose number all workers see."""

    def __init__(self, counters: Counters) -> None:
        self._talking: set[Conversation] = set()
        self._coming: set[Conversation] = set()
        """Those taken in that have not begun."""
        self._counters = counters

    def __contains__(self, client: object) -> bool:
        return client in self._talking

    def __iter__(self) -> Iterator[Conversation]:
        return iter(tuple(self._talking))

    def __len__(self) -> int:
        return len(self._talking)

    def expect(self, client: Conversation) -> None:
        """A conversation will begin, unless the client goes before that."""
        self._coming.add(client)
        self._tell()

    def add(self, client: Conversation) -> None:
        """It begins."""
        self._coming.discard(client)
        self._talking.add(client)
        self._tell()

    def discard(self, client: Conversation) -> None:
        """It has ended, or will not begin."""
        self._coming.discard(client)
        self._talking.discard(client)
        self._tell()

    def _tell(self) -> None:
        """Let the others know how many there are."""
        self._counters.put("connections", float(len(self._talking) + len(self._coming)))


class Reception:
    """A worker's door. `open` and `close` in its event loop."""

    def __init__(
        self,
        listener: socket.socket,
        inboxes: Sequence[Inbox],
        counters: Counters,
        talk: Callable[[Clients], Conversation],
    ) -> None:
        """`inboxes`: of all workers, in the order of rows; `talk`: begins a conversation."""
        self.clients = Clients(counters)
        self._listener = listener
        self._inboxes = inboxes
        self._counters = counters
        self._talk = talk
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[object]] = set()
        self._rest: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Take clients in from now on."""
        self._listener.setblocking(False)
        self._watch()

    def close(self) -> None:
        """Take no more."""
        if self._rest is not None:
            self._rest.cancel()
        self._loop.remove_reader(self._listener.fileno())
        self._loop.remove_reader(self._inbox.fileno())

    @property
    def _inbox(self) -> Inbox:
        return self._inboxes[self._counters.row]

    def _watch(self) -> None:
        self._loop.add_reader(self._listener.fileno(), self._take_in, self._accept)
        self._loop.add_reader(self._inbox.fileno(), self._take_in, self._inbox.take)

    def _take_in(self, take: Callable[[], Sequence[socket.socket]]) -> None:
        """Welcome what `take` gives, some at once."""
        for _ in range(AT_ONCE):
            try:
                connections = take()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:
                self._take_rest()
                return
            for connection in connections:
                self._welcome(connection)

    def _accept(self) -> list[socket.socket]:
        connection, _ = self._listener.accept()
        return [] if self._pass_on(connection) else [connection]

    def _pass_on(self, connection: socket.socket) -> bool:
        """Hand a connection to the worker that holds the fewest, where that is much fewer."""
        held = {row: count + self._inboxes[row].count() for row, count in self._counters.list_up("connections")}
        row = min(held, key=held.__getitem__)
        if held[self._counters.row] + 1 - held[row] < UNEVEN:
            return False
        try:
            self._inboxes[row].put(connection)
        except OSError:  # it is full
            return False
        connection.close()
        return True

    def _take_rest(self) -> None:
        """No file is left for another connection: asked for again at once, it would be the same."""
        self.close()
        self._rest = self._loop.call_later(REST_SECONDS, self._watch)

    def _welcome(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = self._talk(self.clients)
        self.clients.expect(client)
        begun = self._loop.connect_accepted_socket(lambda: client, connection)
        task: asyncio.Task[object] = self._loop.create_task(begun)
        self._tasks.add(task)
        task.add_done_callback(partial(self._settle, client))

    def _settle(self, client: Conversation, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or task.exception():  # a client that has gone already is no fault
            self.clients.discard(client)
