"""An asynchronous piece of work as a stage like any other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, Protocol

from pipeline.llm.async_stage import GRACE, Service, run_concurrently
from pipeline.stage import Outcome
from schemas.live import EndpointLive


class AskedService(Service, Protocol):
    """What the work asks, seen by whoever runs it."""

    def load(self) -> tuple[EndpointLive, ...]:
        """What its endpoints are doing; asked from any thread."""
        ...


class ConcurrentStage:
    """Works on many inputs at once, in an event loop of its own; outcomes come as they are done."""

    whole_shard = False

    def __init__(
        self,
        work: Callable[[Any], Awaitable[Outcome]],
        in_flight: int,
        service: AskedService | None = None,
        grace: float = GRACE,
    ) -> None:
        """`service`: what is asked, a model most often, so that it can be told to stop."""
        self._work = work
        self._in_flight = in_flight
        self._service = service
        self._grace = grace

    def run(self, inputs: Iterable[Any]) -> Iterator[Outcome]:
        """One outcome for each input."""
        return run_concurrently(inputs, self._work, self._in_flight, self._service, self._grace)

    def load(self) -> tuple[EndpointLive, ...]:
        """What the endpoints of its model are doing; asked from any thread."""
        return self._service.load() if self._service else ()
