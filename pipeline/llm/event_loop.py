"""Event loop of asynchronous work in a thread of its own, and its orderly end.

Guarantees: when it is stopped, no client sends a new request, the calls in flight get a grace period to finish and be
recorded, and every service is closed in the loop that used it.
"""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import queue
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar, cast

from pipeline.llm.chat_model import ModelClient, Service

Item = TypeVar("Item")
Result = TypeVar("Result")

GRACE = 60.0
SELDOM = (20_000, 20, 20)
"""Thresholds of the garbage collector while the loop runs; Python's own are (700, 10, 10)."""


class LoopThread(Generic[Item, Result]):
    """Thread with an event loop and its tasks."""

    def __init__(self, work: Callable[[Item], Awaitable[Result]], services: Sequence[Service], grace: float) -> None:
        self._work = work
        self._services = services
        self._grace = grace
        self._ends: queue.SimpleQueue[tuple[Item, Result | None, BaseException | None]] = queue.SimpleQueue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = new_event_loop()
        self._thread = threading.Thread(target=self._run, name="async-stage", daemon=True)
        self._thread.start()

    def begin(self, item: Item) -> None:
        """Start the work on an item."""
        self._loop.call_soon_threadsafe(self._begin_here, item)

    def wait(self) -> tuple[Item, Result | None, BaseException | None]:
        """The next item whose work ended, with its result or its error."""
        return self._ends.get()

    def leftovers(self) -> Iterator[Result]:
        """Results not yet taken; errors among them are omitted."""
        while not self._ends.empty():
            _, result, error = self._ends.get()
            if error is None:
                yield cast(Result, result)

    def stop(self) -> None:
        """End the loop: at once without tasks, else after the grace period at the latest."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    def _begin_here(self, item: Item) -> None:
        task = self._loop.create_task(self._work_on(item))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work_on(self, item: Item) -> None:
        try:
            self._ends.put((item, await self._work(item), None))
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._ends.put((item, None, error))

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            with collect_seldom():
                self._loop.run_forever()
                self._loop.run_until_complete(self._wind_down())
        finally:
            asyncio.set_event_loop(None)
            self._loop.close()

    async def _wind_down(self) -> None:
        """Cancel the work, wait for the calls it started, cancel the rest, and close."""
        for service in self._services:
            if isinstance(service, ModelClient):
                service.stop()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        if rest:
            _, late = await asyncio.wait(rest, timeout=self._grace)
            for one in late:
                one.cancel()
            if late:
                await asyncio.wait(late)
        for service in self._services:
            await service.close()


@contextmanager
def collect_seldom() -> Iterator[None]:
    """Collect cyclic garbage less often: with thousands of live coroutines each collection is slow, and finds little.

    Measured: a fifth of the CPU of a call at 1,000 in flight.
    """
    thresholds = gc.get_threshold()
    gc.set_threshold(*SELDOM)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)


def new_event_loop() -> asyncio.AbstractEventLoop:
    """An event loop of uvloop where it is installed: it halves the cost of a call."""
    if importlib.util.find_spec("uvloop") is None:
        return asyncio.new_event_loop()
    import uvloop

    return uvloop.new_event_loop()


async def gather_all(coroutines: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
    """Every result, in order. The first error cancels and awaits the others, and is raised."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
