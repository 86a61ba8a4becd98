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
from typing import Generic, Protocol, TypeVar, cast

from pipeline.llm.chat_model import AllRefusedError, ModelError, NoReplyError, UnsettledRefusalError

Item = TypeVar("Item")
Result = TypeVar("Result")

GRACE = 60.0
HOPELESS = 100
"""So many items in a row from the start without a reply: the rest would fare no better."""
ASK_AGAIN = (
    "`rampforge resume RUN` asks again; if it is in vain, `rampforge resume RUN --set llm.limits.unanswered=reject` "
    "gives them up as rejects"
)
REFUSED_IN_A_ROW = 20
"""So many items refused, and none in flight answered since: no more are begun before these are settled."""
MEND = (
    "mend llm.endpoints, llm.roles or the server: `rampforge resume RUN` asks again; where it is the items' own fault, "
    "`rampforge resume RUN --set llm.limits.unanswered=reject` gives them up as rejects"
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
    all got none. An item that was refused before any was answered is worked on again when the others are done, or when
    `REFUSED_IN_A_ROW` were refused; AllRefusedError is raised when it is refused in the same way.
    """
    loop_thread: LoopThread[Item, Result] = LoopThread(work, service, grace)
    source = ItemSource(items)
    try:
        progress = StageCounts[Item](in_flight)
        while source.more:
            yield from progress.work_on(source, loop_thread)
            refused, progress.refused = progress.refused, []
            yield from progress.work_on(ItemSource(refused), loop_thread)
            if progress.refused:
                raise AllRefusedError(_sum_items(len(progress.refused), "refused", progress.last), MEND)
        if progress.unanswered:
            raise NoReplyError(_sum_items(progress.unanswered, "still owed", progress.last), ASK_AGAIN)
    except GeneratorExit:
        raise
    except BaseException:
        loop_thread.stop()
        yield from loop_thread.leftovers()
        raise
    finally:
        loop_thread.stop()


def _sum_items(count: int, state: str, last: ModelError | None) -> str:
    items = "1 item is" if count == 1 else f"{count:,} items are"
    others = "all others are done" if state == "still owed" else "no request of the kind is answered"
    return f"{items} {state}, {others}: {last.what if last else ''}"


class ItemSource(Generic[Item]):
    """Items, and whether there may be more of them."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._items = iter(items)
        self.more = True

    def draw(self) -> Iterator[Item]:
        """The next item; none at the end."""
        for item in self._items:
            yield item
            return
        self.more = False


class StageCounts(Generic[Item]):
    """How far the work is, and what came to nothing."""

    def __init__(self, in_flight: int) -> None:
        self._in_flight = in_flight
        self._ended = 0
        self._refused_in_a_row = 0
        self.unanswered = 0
        """Items without a reply."""
        self.refused: list[Item] = []
        """Items that were refused before any was answered."""
        self.last: ModelError | None = None
        """The last error of one of these."""

    def work_on(self, source: ItemSource[Item], loop_thread: LoopThread[Item, Result]) -> Iterator[Result]:
        """The results of a source, up to its end or to too many refusals in a row."""
        under_way = 0
        self._refused_in_a_row = 0
        while True:
            while source.more and under_way < self._in_flight and self._refused_in_a_row < REFUSED_IN_A_ROW:
                for item in source.draw():
                    loop_thread.begin(item)
                    under_way += 1
            if not under_way:
                return
            under_way -= 1
            self._ended += 1
            item, result, error = loop_thread.wait()
            if error is None:
                self._refused_in_a_row = 0
                yield cast(Result, result)
            else:
                self._note(item, error)

    def _note(self, item: Item, error: BaseException) -> None:
        """Remember what may be done later. Raises any other error."""
        if isinstance(error, UnsettledRefusalError):
            self._refused_in_a_row += 1
            self.refused.append(item)
        elif isinstance(error, NoReplyError):
            self.unanswered += 1
            if self.unanswered == self._ended >= HOPELESS:
                raise NoReplyError(_sum_items(self.unanswered, "still owed", error), ASK_AGAIN) from error
        else:
            raise error
        self.last = error


class LoopThread(Generic[Item, Result]):
    """The event loop and the tasks in it."""

    def __init__(self, work: Callable[[Item], Awaitable[Result]], service: Service | None, grace: float) -> None:
        self._work = work
        self._service = service
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
        """Results that nobody has taken yet; errors among them are left out."""
        while not self._ends.empty():
            _, result, error = self._ends.get()
            if error is None:
                yield cast(Result, result)

    def stop(self) -> None:
        """End the loop: at once when no task is left, else after the grace period at the latest."""
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
