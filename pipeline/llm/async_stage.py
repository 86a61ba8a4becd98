"""Runs asynchronous work inside a stage, which is synchronous: one event loop in a thread of its own.

Promises: never more than `in_flight` items are begun and not yet handed over, so memory does not grow with the number
of items and a slow consumer slows the work down; results come as they are finished. When the run must stop - an error
of the work, Ctrl-C, a consumer that goes away - no new request is sent, the calls in flight are given a grace period to
end and be kept, and then the cause is raised.
"""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import queue
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

from pipeline.llm.chat_model import NoReplyError

Item = TypeVar("Item")
Result = TypeVar("Result")

GRACE = 60.0
HOPELESS = 100
"""So many items in a row from the start without a reply: the rest would fare no better."""
ASK_AGAIN = (
    "`rampforge resume RUN` asks again; if it is in vain, `rampforge resume RUN --set llm.limits.unanswered=reject` "
    "gives them up as rejects"
)
SELDOM = (20_000, 20, 20)
"""Thresholds of the garbage collector while the loop runs; Python's own are (700, 10, 10)."""


class Service(Protocol):
    """What the work asks: it is told to stop, and closed in the event loop that used it."""

    def stop(self) -> None:
        """Begin nothing new."""
        ...

    async def close(self) -> None:
        """Give up connections."""
        ...


def run_concurrently(
    items: Iterable[Item],
    work: Callable[[Item], Awaitable[Result]],
    in_flight: int,
    service: Service | None = None,
    grace: float = GRACE,
) -> Iterator[Result]:
    """Yield `work(item)` for each item, in the order in which they end. Raises the first error of the work.

    Items are drawn in the caller's thread. Results that are done when an error stops the run are yielded first. An item
    that got no reply is left out and the others go on; NoReplyError is raised at the end, or when the first `HOPELESS`
    all got none.
    """
    loop_thread: LoopThread[Item, Result] = LoopThread(work, service, grace)
    try:
        begun = ended = unanswered = 0
        source = iter(items)
        more = True
        while more or ended < begun:
            while more and begun - ended < in_flight:
                try:
                    item = next(source)
                except StopIteration:
                    more = False
                    break
                loop_thread.begin(item)
                begun += 1
            if ended < begun:
                ended += 1
                try:
                    result = loop_thread.wait()
                except NoReplyError as error:
                    unanswered, last = unanswered + 1, error
                    if unanswered == ended >= HOPELESS:
                        raise _sum_unanswered(unanswered, last) from error
                    continue
                yield result
        if unanswered:
            raise _sum_unanswered(unanswered, last)
    except GeneratorExit:
        raise
    except BaseException:
        loop_thread.stop()
        yield from loop_thread.leftovers()
        raise
    finally:
        loop_thread.stop()


def _sum_unanswered(count: int, last: NoReplyError) -> NoReplyError:
    items = "1 item is" if count == 1 else f"{count:,} items are"
    return NoReplyError(f"{items} still owed, all others are done: {last.what}", ASK_AGAIN)


class LoopThread(Generic[Item, Result]):
    """The event loop and the tasks in it."""

    def __init__(self, work: Callable[[Item], Awaitable[Result]], service: Service | None, grace: float) -> None:
        self._work = work
        self._service = service
        self._grace = grace
        self._ends: queue.SimpleQueue[tuple[Result | None, BaseException | None]] = queue.SimpleQueue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = new_event_loop()
        self._thread = threading.Thread(target=self._run, name="async-stage", daemon=True)
        self._thread.start()

    def begin(self, item: Item) -> None:
        """Start the work on an item."""
        self._loop.call_soon_threadsafe(self._begin_here, item)

    def wait(self) -> Result:
        """The next result. Raises the error that the work ended with."""
        return self._unpack(self._ends.get())

    def leftovers(self) -> Iterator[Result]:
        """Results that nobody has taken yet; errors among them are left out."""
        while not self._ends.empty():
            result, error = self._ends.get()
            if error is None:
                yield self._unpack((result, None))

    def stop(self) -> None:
        """End the loop: at once when no task is left, else after the grace period at the latest."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    @staticmethod
    def _unpack(end: tuple[Result | None, BaseException | None]) -> Result:
        result, error = end
        if error is not None:
            raise error
        return result  # type: ignore[return-value]  # the pair holds a result or an error

    def _begin_here(self, item: Item) -> None:
        task = self._loop.create_task(self._work_on(item))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work_on(self, item: Item) -> None:
        try:
            self._ends.put((await self._work(item), None))
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._ends.put((None, error))

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            with seldom_collected():
                self._loop.run_forever()
                self._loop.run_until_complete(self._wind_down())
        finally:
            asyncio.set_event_loop(None)
            self._loop.close()

    async def _wind_down(self) -> None:
        """Cancel the work; wait for what it had asked for; cancel the rest; close."""
        if self._service is not None:
            self._service.stop()
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
        if self._service is not None:
            await self._service.close()


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Look for cyclic garbage less often: thousands of live coroutines make each look long, and leave next to none.

    Measured: a fifth of the CPU of a call at 1,000 in flight.
    """
    thresholds = gc.get_threshold()
    gc.set_threshold(*SELDOM)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)


def new_event_loop() -> asyncio.AbstractEventLoop:
    """uvloop's where it is installed: it halves the cost of a call."""
    if importlib.util.find_spec("uvloop") is None:
        return asyncio.new_event_loop()
    import uvloop

    return uvloop.new_event_loop()
