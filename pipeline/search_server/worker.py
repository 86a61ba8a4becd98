"""One worker process: opens the engine and answers at its socket until it is told to stop or its parent is gone."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection

from pipeline.errors import RampforgeError
from pipeline.llm.event_loop import new_event_loop
from pipeline.search_server.app import RetrievalApp
from pipeline.search_server.connection import Conversation
from pipeline.search_server.connection_balancer import Reception
from pipeline.search_server.metrics import Counters
from pipeline.search_server.settings import ServerSettings
from pipeline.search_server.socket_queue import Inbox

GRACE = 10
"""Seconds that requests under way have to end when the worker is told to stop."""
LOOK_SECONDS = 1.0
"""Between two looks at silent clients."""
POLL_SECONDS = 0.02
READY = "ready"


@dataclass(frozen=True, slots=True)
class Doors:
    """By which connections come to a worker."""

    listener: socket.socket
    inboxes: Sequence[Inbox]
    """Those of all workers."""


def run_worker(settings: ServerSettings, doors: Doors, counters: Counters, parent: Connection) -> None:
    """Work until the end. What stops it from starting is told to the parent in words."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        engine = settings.open_engine()
    except RampforgeError as error:
        parent.send((error.what, error.fix))
        return
    app = RetrievalApp(engine, settings, counters)
    counters.begin()
    # What is loaded now stays: collecting must not walk over it in the middle of a request.
    gc.collect()
    gc.freeze()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_serve(app, settings.max_body, doors, counters, parent))


async def _serve(app: RetrievalApp, most_body: int, doors: Doors, counters: Counters, parent: Connection) -> None:
    """Serve; tell the parent when requests are heard, and stop when it is gone or a signal says so."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    talk = partial(Conversation, app.answer, most_body)
    reception = Reception(doors.listener, doors.inboxes, counters, talk)
    reception.open()
    loop.add_reader(parent.fileno(), stopping.set)  # it never writes: what can be read is its end
    parent.send(READY)
    while not await _wait_for(stopping, LOOK_SECONDS):
        for client in reception.clients:
            client.look(loop.time())
    loop.remove_reader(parent.fileno())
    reception.close()
    doors.listener.close()
    for client in reception.clients:
        client.finish()
    ends = loop.time() + GRACE
    while reception.clients and loop.time() < ends:
        await asyncio.sleep(POLL_SECONDS)


async def _wait_for(event: asyncio.Event, seconds: float) -> bool:
    try:
        return await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
