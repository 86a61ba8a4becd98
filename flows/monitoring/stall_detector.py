"""Detectors of stalls and of unreadable replies; each is reported once, a stall's end too.

An endpoint is stalled when requests are pending and no reply has come for many times the usual time of one; a stage,
when neither an input nor a call has been finished for two minutes. Unreadable replies are summed over the shards of a
session: inside a shard the log warns after the first hundred, which small shards never reach.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pipeline.judging.llm_judge_stage import UNREAD_OPINION
from pipeline.llm.structured_output import ALARM, UNREADABLE
from schemas.funnel import FunnelStep
from schemas.ledger import ShardCommit
from schemas.live import EndpointLive

log = logging.getLogger(__name__)

STALL_TIMES = 10.0
"""Multiple of the usual time from which a reply is more than slow."""
SHORTEST_STALL = 10.0
"""Seconds of silence that are never a stall, however fast replies usually are."""
FIRST_REPLY = 60.0
"""Maximum seconds for the first reply: a server may have to load its model."""
STAGE_STALL = 120.0


@dataclass(slots=True)
class Silence:
    """Silence of one endpoint."""

    count: int
    """Its replies, when the last one was seen."""
    faults: int
    """Its failures at that time."""
    since: float
    reported: bool = False


class StallDetector:
    """Detector for one stage. Times are in seconds from any origin."""

    def __init__(self, stage: str, now: float) -> None:
        self.stalls = 0
        """Number of stalls so far."""
        self._stage = stage
        self._endpoints: dict[str, Silence] = {}
        self._whole = Silence(0, 0, now)

    @property
    def stalled(self) -> tuple[str, ...]:
        """Return the stalled endpoints."""
        return tuple(name for name, silence in sorted(self._endpoints.items()) if silence.reported)

    def note(self, now: float, done: int, endpoints: Iterable[EndpointLive]) -> Iterator[str]:
        """Compare with the previous state; yield the lines to print."""
        for endpoint in endpoints:
            done += endpoint.answered
            yield from self._note_endpoint(now, endpoint)
        whole = self._whole
        if done != whole.count:
            if whole.reported:
                yield f"{self._stage}: continues after {now - whole.since:.0f} s"
            self._whole = Silence(done, 0, now)
        elif now - whole.since > STAGE_STALL and not whole.reported:
            whole.reported = True
            self.stalls += 1
            yield f"{self._stage}: nothing finished for {now - whole.since:.0f} s"

    def _note_endpoint(self, now: float, endpoint: EndpointLive) -> Iterator[str]:
        silence = self._endpoints.setdefault(endpoint.name, Silence(endpoint.answered, endpoint.faults, now))
        quiet = now - silence.since
        if endpoint.answered != silence.count:
            if silence.reported:
                yield f"{self._stage}: {endpoint.name} answers again after {quiet:.0f} s"
            self._endpoints[endpoint.name] = Silence(endpoint.answered, endpoint.faults, now)
        elif not silence.reported and not is_pending(endpoint, silence):
            silence.since = now
        elif not silence.reported and quiet > allow_silence(endpoint):
            silence.reported = True
            self.stalls += 1
            usual = f", {endpoint.usual_seconds:.1f} s is usual" if endpoint.usual_seconds else ""
            fault = f"; last error: {endpoint.last_fault}" if endpoint.last_fault else ""
            pending = f"{endpoint.in_flight} in flight, {endpoint.waiting} waiting"
            yield f"{self._stage}: no reply from {endpoint.name} for {quiet:.0f} s ({pending}{usual}){fault}"


def is_pending(endpoint: EndpointLive, silence: Silence) -> bool:
    """Return whether a reply is pending: to a request that was sent, is queued, or pauses after an error."""
    return endpoint.in_flight + endpoint.waiting > 0 or endpoint.faults > silence.faults


def allow_silence(endpoint: EndpointLive) -> float:
    """Return the seconds without a reply that are not a stall."""
    if not endpoint.usual_seconds:
        return FIRST_REPLY
    return max(SHORTEST_STALL, STALL_TIMES * endpoint.usual_seconds)


class ParseFailureDetector:
    """Total of readable and unreadable replies over the shards of one session."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._lock = threading.Lock()
        self._sums: dict[str, tuple[int, int]] = {}
        self._warned = False

    def note(self, commit: ShardCommit) -> None:
        """Add a finished shard; warn once, when `ALARM` items in total were unreadable and none was readable."""
        with self._lock:
            for step in commit.funnel:
                unread, read = self._sums.get(step.unit, (0, 0))
                more_unread, more_read = count_unread(step)
                unread, read = unread + more_unread, read + more_read
                self._sums[step.unit] = unread, read
                if unread >= ALARM and not read and not self._warned:
                    self._warned = True
                    log.warning(
                        "%s: no reply could be parsed for any of the first %d items; rejects/ quotes them, and "
                        "`rampforge doctor` checks the models",
                        self._stage,
                        unread,
                    )


def count_unread(step: FunnelStep) -> tuple[int, int]:
    """Return the items of a step that were lost to unreadable replies, and those with a readable one."""
    unread = step.rejected.get(UNREADABLE, 0) + step.rejected.get(UNREAD_OPINION, 0)
    return unread, step.entered - unread if step.compares else step.passed
