"""An asynchronous piece of work as a stage like any other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

from pipeline.llm.async_stage import GRACE, run_concurrently
from pipeline.llm.chat_model import ModelService
from pipeline.stage import Outcome
from schemas.live import EndpointLive


class ConcurrentStage:
    """Works on many inputs at once, in an event loop of its own; outcomes come as they are done."""

    whole_shard = False

    def __init__(
        self,
        work: Callable[[Any], Awaitable[Outcome]],
        in_flight: int,
        service: ModelService | None = None,
        grace: float = GRACE,
    ) -> None:
        """`service`: the model asked, so that it can be told to stop."""
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
