"""Asynchronous work as a stage, which is synchronous: one event loop in a thread of its own.

Guarantees: at most `in_flight` items are started and not yet returned, so memory does not grow with the number of items
and a slow consumer slows the work down; results are returned as they are finished. When the run has to stop - an error
of the work, Ctrl-C, a consumer that ends - no new request is sent, the calls in flight get a grace period to finish and
be recorded, and then the cause is raised.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar, cast

from pipeline.llm.chat_model import (
    AllRefusedError,
    ModelClient,
    ModelError,
    NoReplyError,
    Service,
    UnsettledRefusalError,
)
from pipeline.llm.event_loop import GRACE, LoopThread
from pipeline.stage import Outcome
from schemas.live import EndpointLive

Item = TypeVar("Item")
Result = TypeVar("Result")

HOPELESS = 100
"""Items from the start without any reply after which the stage gives up."""
RESUME_HINT = (
    "`rampforge resume RUN` requests them again; if that fails too, `rampforge resume RUN --set "
    "llm.limits.unanswered=reject` rejects them"
)
REFUSED_IN_A_ROW = 20
"""Items refused with none answered since after which no more are started before these are settled."""
REFUSAL_HINT = (
    "correct llm.endpoints, llm.roles or the server, then `rampforge resume RUN`; if the items are the cause, "
    "`rampforge resume RUN --set llm.limits.unanswered=reject` rejects them"
)


class AsyncStage:
    """Stage with asynchronous work: many inputs at once, outcomes as they are finished."""

    whole_shard = False

    def __init__(
        self,
        work: Callable[[Any], Awaitable[Outcome]],
        in_flight: int,
        services: Sequence[Service] = (),
        grace: float = GRACE,
    ) -> None:
        """`services`: what the work uses, stopped where they can be and closed at the end."""
        self._work = work
        self._in_flight = in_flight
        self._services = services
        self._grace = grace

    def run(self, inputs: Iterable[Any]) -> Iterator[Outcome]:
        """One outcome for each input."""
        return run_concurrently(inputs, self._work, self._in_flight, self._services, self._grace)

    def load(self) -> tuple[EndpointLive, ...]:
        """The state of the endpoints that the work uses; callable from any thread."""
        clients = [service for service in self._services if isinstance(service, ModelClient)]
        return tuple(endpoint for client in clients for endpoint in client.load())


def run_concurrently(
    items: Iterable[Item],
    work: Callable[[Item], Awaitable[Result]],
    in_flight: int,
    services: Sequence[Service] = (),
    grace: float = GRACE,
) -> Iterator[Result]:
    """Yield `work(item)` for each item, in the order in which they finish. Raises the first error of the work.

    Items are taken in the caller's thread. Results that are finished when an error stops the run are yielded first. An
    item without a reply is left out and the others continue; NoReplyError is raised at the end, or when the first
    `HOPELESS` all had none. An item that was refused before any was answered is processed again after the others, or
    when `REFUSED_IN_A_ROW` were refused; AllRefusedError is raised when it is refused in the same way.
    """
    loop_thread: LoopThread[Item, Result] = LoopThread(work, services, grace)
    source = ItemSource(items)
    try:
        progress = StageCounts[Item](in_flight)
        while source.more:
            yield from progress.work_on(source, loop_thread)
            refused, progress.refused = progress.refused, []
            yield from progress.work_on(ItemSource(refused), loop_thread)
            if progress.refused:
                raise AllRefusedError(_sum_items(len(progress.refused), "refused", progress.last), REFUSAL_HINT)
        if progress.unanswered:
            raise NoReplyError(_sum_items(progress.unanswered, "unfinished", progress.last), RESUME_HINT)
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
    others = "all others are finished" if state == "unfinished" else "no request of the kind was answered"
    return f"{items} {state}, {others}: {last.what if last else ''}"


class ItemSource(Generic[Item]):
    """Iterator of items that says whether there may be more."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._items = iter(items)
        self.more = True

    def take(self) -> Iterator[Item]:
        """The next item; none at the end."""
        for item in self._items:
            yield item
            return
        self.more = False


class StageCounts(Generic[Item]):
    """Counts of the work, and its items without a result."""

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
        pending = 0
        self._refused_in_a_row = 0
        while True:
            while source.more and pending < self._in_flight and self._refused_in_a_row < REFUSED_IN_A_ROW:
                for item in source.take():
                    loop_thread.begin(item)
                    pending += 1
            if not pending:
                return
            pending -= 1
            self._ended += 1
            item, result, error = loop_thread.wait()
            if error is None:
                self._refused_in_a_row = 0
                yield cast(Result, result)
            else:
                self._note(item, error)

    def _note(self, item: Item, error: BaseException) -> None:
        """Record an item that may be processed later. Raises any other error."""
        if isinstance(error, UnsettledRefusalError):
            self._refused_in_a_row += 1
            self.refused.append(item)
        elif isinstance(error, NoReplyError):
            self.unanswered += 1
            if self.unanswered == self._ended >= HOPELESS:
                raise NoReplyError(_sum_items(self.unanswered, "unfinished", error), RESUME_HINT) from error
        else:
            raise error
        self.last = error
