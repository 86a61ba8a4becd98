"""Takes clients in, and passes on those that another worker has more time for.

The kernel spreads connections over the workers by chance: of 64, one of two workers may get 42, and as clients keep
their connections, its queries wait for ever while the other idles. So a worker that holds more than the least busy one
hands a new connection over, as an open file, through that worker's inbox.

Promises: a connection is held by one worker, or waits in the inbox of one, also of one that is being started again;
what cannot be handed over is kept.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterator, MutableSet, Sequence

from pipeline.search_server.conversation import Conversation
from pipeline.search_server.counters import Counters

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
        self._counters = counters
        self.coming = 0
        """Connections taken in whose conversation has not begun."""

    def __contains__(self, client: object) -> bool:
        return client in self._talking

    def __iter__(self) -> Iterator[Conversation]:
        return iter(tuple(self._talking))

    def __len__(self) -> int:
        return len(self._talking)

    def add(self, client: Conversation) -> None:
        """A conversation begins."""
        self._talking.add(client)
        self.tell()

    def discard(self, client: Conversation) -> None:
        """It has ended."""
        self._talking.discard(client)
        self.tell()

    def tell(self) -> None:
        """Let the others know how many there are."""
        self._counters.put("connections", float(len(self._talking) + self.coming))


class Reception:
    """A worker's door. `open` and `close` in its event loop."""

    def __init__(
        self,
        listener: socket.socket,
        inbox: socket.socket,
        outboxes: Sequence[socket.socket],
        counters: Counters,
        talk: Callable[[Clients], Conversation],
    ) -> None:
        """`inbox`: where others hand connections over; `outboxes`: the way to each worker's, in the order of rows;
        `talk`: begins a conversation."""
        self.clients = Clients(counters)
        self._doors = ((listener, self._accept), (inbox, self._receive))
        self._outboxes = outboxes
        self._counters = counters
        self._talk = talk
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[object]] = set()
        self._rest: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Take clients in from now on."""
        for door, _ in self._doors:
            door.setblocking(False)
        self._watch()

    def close(self) -> None:
        """Take no more."""
        if self._rest is not None:
            self._rest.cancel()
        for door, _ in self._doors:
            self._loop.remove_reader(door.fileno())

    def _watch(self) -> None:
        for door, take in self._doors:
            self._loop.add_reader(door.fileno(), take)

    def _accept(self) -> None:
        (listener, _), _ = self._doors
        for _ in range(AT_ONCE):
            try:
                connection, _ = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:
                self._take_rest()
                return
            if not self._pass_on(connection):
                self._welcome(connection)

    def _pass_on(self, connection: socket.socket) -> bool:
        """Hand a connection to the worker that holds the fewest, where that is much fewer."""
        row, held = self._counters.find_idlest("connections")
        if len(self.clients) + self.clients.coming + 1 - held < UNEVEN:
            return False
        try:
            socket.send_fds(self._outboxes[row], [b"."], [connection.fileno()])
        except OSError:  # its inbox is full
            return False
        self._counters.foresee("connections", row, held + 1)
        connection.close()
        return True

    def _receive(self) -> None:
        _, (inbox, _) = self._doors
        for _ in range(AT_ONCE):
            try:
                os.close(os.dup(inbox.fileno()))  # a message taken where no file is left loses its connection
                _, files, _, _ = socket.recv_fds(inbox, 1, 1)
            except BlockingIOError:
                return
            except OSError:
                self._take_rest()
                return
            for file in files:
                self._welcome(socket.socket(fileno=file))

    def _take_rest(self) -> None:
        """No file is left for another connection: asked for again at once, it would be the same."""
        self.close()
        self._rest = self._loop.call_later(REST_SECONDS, self._watch)

    def _welcome(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.clients.coming += 1
        self.clients.tell()
        begun = self._loop.connect_accepted_socket(lambda: self._talk(self.clients), connection)
        task: asyncio.Task[object] = self._loop.create_task(begun)
        self._tasks.add(task)
        task.add_done_callback(self._settle)

    def _settle(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        self.clients.coming -= 1
        self.clients.tell()
        if not task.cancelled():
            task.exception()  # a client that has gone already is no fault
