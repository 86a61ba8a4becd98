"""Concurrency limit and adaptive timeout of one endpoint.

Guarantees: noise does not slow a run down (a server that rejects one request in twenty at random is not overloaded), an
overloaded server gets fewer requests, and one that recovers the full number again. No clock is read here: times are
arguments, in seconds from any origin.
"""

from __future__ import annotations

THROTTLE_MEMORY = 256
"""Requests over which the share of 429s is averaged."""
THROTTLE_TOLERANCE = 0.15
"""Lasting share of 429s that is tolerated: ten standard deviations above 5% noise."""
THROTTLE_RESET = 0.05
SLOW_DOWN = 0.75
SPEED_UP = 0.1
"""Increase after a slow-down, per window of requests."""
CREEP_UP = 0.02
"""The same, above the level that was too high the last time."""
SMALLEST_WINDOW = 32
SATURATED_SHARE = 0.5
"""Share of a window in which the limit has to be reached for the window to count."""
QUEUE_SHARE = 0.1
"""Queue at the server, as a share of the limit, that keeps it busy; a longer one only waits."""


class ConcurrencyLimit:
    """Number of concurrent requests to an endpoint.

    Additive increase, multiplicative decrease on a lasting share of 429s; for servers that never send one, the queue
    that they report.
    """

    def __init__(self, maximum: int, adaptive: bool = True) -> None:
        self.maximum = maximum
        self.queue: int | None = None
        """Requests waiting at the server, where it publishes that."""
        self._adaptive = adaptive
        self._limit = float(maximum)
        self._ceiling = float(maximum)
        self._share = 0.0
        self._slowed_at = float("-inf")
        self._count = self._saturated = 0

    @property
    def limit(self) -> int:
        """Maximum concurrent requests."""
        return max(1, int(self._limit))

    def note_throttle(self, now: float, started: float) -> None:
        """Record a 429 for a request sent at `started`."""
        self._share += (1 - self._share) / THROTTLE_MEMORY
        # A request sent before the last slow-down says nothing about the level since.
        if not self._adaptive or self._share <= THROTTLE_TOLERANCE or started < self._slowed_at:
            return
        self._ceiling = self._limit
        self._limit = max(1.0, self._limit * SLOW_DOWN)
        self._slowed_at = now
        self._share = THROTTLE_RESET
        self._count = self._saturated = 0

    def note_reply(self, saturated: bool) -> bool:
        """Record a reply. True at the end of a window of requests: the time to read the queue of the server."""
        self._share -= self._share / THROTTLE_MEMORY
        self._count += 1
        self._saturated += saturated
        if self._count < max(SMALLEST_WINDOW, 2 * self.limit):
            return False
        if self._adaptive and self._saturated >= SATURATED_SHARE * self._count:
            self._adjust()
        self._count = self._saturated = 0
        return True

    def _adjust(self) -> None:
        if self.queue is not None:
            self._follow_queue(self.queue)
        elif self._limit < self._ceiling:
            self._limit = min(self._ceiling, self._limit + max(1.0, SPEED_UP * self._limit))
        else:
            self._raise_ceiling()

    def _raise_ceiling(self) -> None:
        """Raise the limit slowly until 429s show the capacity."""
        self._limit = min(float(self.maximum), self._limit + max(1.0, CREEP_UP * self._limit))
        self._ceiling = max(self._ceiling, self._limit)

    def _follow_queue(self, queue: int) -> None:
        spare = QUEUE_SHARE * self._limit
        if queue > spare + 1:
            self._limit = max(1.0, self._limit - (queue - spare) / 2)
        elif queue == 0:
            self._limit = min(float(self.maximum), self._limit + max(1.0, SPEED_UP * self._limit))


class AdaptiveTimeout:
    """Timeout of a request: far longer than usual, estimated as in TCP, so that a lost one is soon repeated."""

    SAMPLES, DEVIATIONS, MEMORY = 50, 8.0, 16.0

    def __init__(self, shortest: float, longest: float) -> None:
        self._shortest = shortest
        self._longest = longest
        self._count = 0
        self._mean = 0.0
        self._deviation = 0.0

    def note(self, seconds: float) -> None:
        """Record the seconds of a reply, or of a request that timed out."""
        self._count += 1
        share = max(1 / self._count, 1 / self.MEMORY)
        self._deviation += share * (abs(seconds - self._mean) - self._deviation) if self._count > 1 else 0.0
        self._mean += share * (seconds - self._mean)

    @property
    def usual(self) -> float:
        """Recent mean seconds of a reply; 0 before the first."""
        return self._mean

    @property
    def settled(self) -> bool:
        """Whether there are enough replies for an estimate."""
        return self._count >= self.SAMPLES

    def deadline(self, hangs: int) -> float:
        """Seconds to wait; each earlier hang of the same request doubles them."""
        if not self.settled:
            return self._longest
        usual = self._mean + self.DEVIATIONS * self._deviation
        return float(min(self._longest, max(self._shortest, usual) * 2**hangs))
