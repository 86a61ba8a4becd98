"""Asynchronous work as a stage, which is synchronous: one event loop in a thread of its own.

Promises: never more than `in_flight` items are begun and not yet handed over, so memory does not grow with the number
of items and a slow consumer slows the work down; results come as they are finished. When the run must stop - an error
of the work, Ctrl-C, a consumer that goes away - no new request is sent, the calls in flight are given a grace period to
end and be kept, and then the cause is raised.
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


class AsyncStage:
    """A stage whose work is asynchronous: many inputs at once, outcomes as they are done."""

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
        """The state of the endpoints that the work asks; callable from any thread."""
        clients = [service for service in self._services if isinstance(service, ModelClient)]
        return tuple(endpoint for client in clients for endpoint in client.load())


def run_concurrently(
    items: Iterable[Item],
    work: Callable[[Item], Awaitable[Result]],
    in_flight: int,
    services: Sequence[Service] = (),
    grace: float = GRACE,
) -> Iterator[Result]:
    """Yield `work(item)` for each item, in the order in which they end. Raises the first error of the work.

    Items are drawn in the caller's thread. Results that are done when an error stops the run are yielded first. An item
    that got no reply is left out and the others go on; NoReplyError is raised at the end, or when the first `HOPELESS`
    all got none. An item that was refused before any was answered is worked on again when the others are done, or when
    `REFUSED_IN_A_ROW` were refused; AllRefusedError is raised when it is refused in the same way.
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
