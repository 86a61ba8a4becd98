"""Notices that nothing comes any more, says so once, and says when it goes on.

An endpoint is stalled when requests are owed to it and no reply has come for many times as long as one usually takes; a
stage, when neither an input nor a call has been finished for two minutes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from schemas.live import EndpointLive

STALL_TIMES = 10.0
"""A reply that takes so many times the usual is no slow one."""
SHORTEST_STALL = 10.0
"""Seconds of silence that are nothing to speak of, however fast replies usually are."""
FIRST_REPLY = 60.0
"""Seconds that the first reply may take: a server may have to load its model."""
STAGE_STALL = 120.0


@dataclass(slots=True)
class Silence:
    """How long one has been silent."""

    count: int
    """Its replies, when the last one was noticed."""
    faults: int
    """Its faults at that time."""
    since: float
    told: bool = False


class StallDetector:
    """Watches one stage. Times come in, in seconds from any origin."""

    def __init__(self, stage: str, now: float) -> None:
        self.stalls = 0
        """Stalls so far."""
        self._stage = stage
        self._endpoints: dict[str, Silence] = {}
        self._whole = Silence(0, 0, now)

    @property
    def stalled(self) -> tuple[str, ...]:
        """The endpoints that are stalled."""
        return tuple(name for name, silence in sorted(self._endpoints.items()) if silence.told)

    def note(self, now: float, done: int, endpoints: Iterable[EndpointLive]) -> Iterator[str]:
        """Compare with what was noted before; yields what is worth a line."""
        for endpoint in endpoints:
            done += endpoint.answered
            yield from self._note_endpoint(now, endpoint)
        whole = self._whole
        if done != whole.count:
            if whole.told:
                yield f"{self._stage}: goes on after {now - whole.since:.0f} s"
            self._whole = Silence(done, 0, now)
        elif now - whole.since > STAGE_STALL and not whole.told:
            whole.told = True
            self.stalls += 1
            yield f"{self._stage}: nothing finished for {now - whole.since:.0f} s"

    def _note_endpoint(self, now: float, endpoint: EndpointLive) -> Iterator[str]:
        silence = self._endpoints.setdefault(endpoint.name, Silence(endpoint.answered, endpoint.faults, now))
        quiet = now - silence.since
        if endpoint.answered != silence.count:
            if silence.told:
                yield f"{self._stage}: {endpoint.name} answers again, after {quiet:.0f} s"
            self._endpoints[endpoint.name] = Silence(endpoint.answered, endpoint.faults, now)
        elif not silence.told and not is_owed(endpoint, silence):
            silence.since = now
        elif not silence.told and quiet > allow_silence(endpoint):
            silence.told = True
            self.stalls += 1
            usual = f", {endpoint.usual_seconds:.1f} s is usual" if endpoint.usual_seconds else ""
            fault = f"; last fault: {endpoint.last_fault}" if endpoint.last_fault else ""
            owed = f"{endpoint.in_flight} in flight, {endpoint.waiting} waiting"
            yield f"{self._stage}: no reply from {endpoint.name} for {quiet:.0f} s ({owed}{usual}){fault}"


def is_owed(endpoint: EndpointLive, silence: Silence) -> bool:
    """Whether a reply is due: to a request that is sent, that waits, or that pauses after a fault."""
    return endpoint.in_flight + endpoint.waiting > 0 or endpoint.faults > silence.faults


def allow_silence(endpoint: EndpointLive) -> float:
    """Seconds without a reply that mean nothing."""
    if not endpoint.usual_seconds:
        return FIRST_REPLY
    return max(SHORTEST_STALL, STALL_TIMES * endpoint.usual_seconds)
