"""How hard one endpoint is driven: how many requests at once, and how long one is waited for.

Promises: noise does not slow a run down (a server that turns one request in twenty away at random is not overdriven),
an overdriven server is relieved, and one that comes back is driven at full speed again. No clock is read here: times
come in, in seconds from any origin.
"""

from __future__ import annotations

THROTTLE_MEMORY = 256
"""Requests over which the share of 429s is averaged."""
THROTTLE_TOLERANCE = 0.15
"""A lasting share of 429s that needs no answer: ten standard deviations above 5% noise."""
THROTTLE_RESET = 0.05
SLOW_DOWN = 0.75
SPEED_UP = 0.1
"""Step back up after a slow-down, a window of requests at a time."""
CREEP_UP = 0.02
"""The same, above the level that was too much the last time."""
SMALLEST_WINDOW = 32
SATURATED_SHARE = 0.5
"""A window teaches about the limit only when the limit was reached in so much of it."""
QUEUE_SHARE = 0.1
"""A queue at the server up to this share of the limit keeps it busy; more of it only waits."""


class ConcurrencyLimit:
    """The number of requests that an endpoint is given at once.

    Additive increase, multiplicative decrease on a lasting share of 429s; for servers that never send one, the queue
    that they report.
    """

    def __init__(self, maximum: int, adaptive: bool = True) -> None:
        self.maximum = maximum
        self.queue: int | None = None
        """Requests waiting at the server, when it says."""
        self._adaptive = adaptive
        self._limit = float(maximum)
        self._ceiling = float(maximum)
        self._share = 0.0
        self._slowed_at = float("-inf")
        self._count = self._saturated = 0

    @property
    def limit(self) -> int:
        """Requests allowed at once."""
        return max(1, int(self._limit))

    def note_throttle(self, now: float, started: float) -> None:
        """A 429 came back for a request sent at `started`."""
        self._share += (1 - self._share) / THROTTLE_MEMORY
        # What was sent before the last slow-down says nothing about the level since.
        if not self._adaptive or self._share <= THROTTLE_TOLERANCE or started < self._slowed_at:
            return
        self._ceiling = self._limit
        self._limit = max(1.0, self._limit * SLOW_DOWN)
        self._slowed_at = now
        self._share = THROTTLE_RESET
        self._count = self._saturated = 0

    def note_reply(self, saturated: bool) -> bool:
        """A reply came back. True when a window of requests is over: the time to ask a server for its queue."""
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
        """An endpoint that answers with 429s shows its knee by them: creep up until it does."""
        self._limit = min(float(self.maximum), self._limit + max(1.0, CREEP_UP * self._limit))
        self._ceiling = max(self._ceiling, self._limit)

    def _follow_queue(self, queue: int) -> None:
        spare = QUEUE_SHARE * self._limit
        if queue > spare + 1:
            self._limit = max(1.0, self._limit - (queue - spare) / 2)
        elif queue == 0:
            self._limit = min(float(self.maximum), self._limit + max(1.0, SPEED_UP * self._limit))


class AdaptiveTimeout:
    """How long a reply is waited for: far longer than usual, as TCP does it, so that a lost one is soon repeated."""

    SAMPLES, DEVIATIONS, MEMORY = 50, 8.0, 16.0

    def __init__(self, shortest: float, longest: float) -> None:
        self._shortest = shortest
        self._longest = longest
        self._count = 0
        self._mean = 0.0
        self._deviation = 0.0

    def note(self, seconds: float) -> None:
        """A reply took so long, or was given up after so long."""
        self._count += 1
        share = max(1 / self._count, 1 / self.MEMORY)
        self._deviation += share * (abs(seconds - self._mean) - self._deviation) if self._count > 1 else 0.0
        self._mean += share * (seconds - self._mean)

    @property
    def usual(self) -> float:
        """Seconds that a reply takes on average, lately; 0 before the first."""
        return self._mean

    @property
    def settled(self) -> bool:
        """Whether enough replies have come to say what is usual."""
        return self._count >= self.SAMPLES

    def deadline(self, hangs: int) -> float:
        """Seconds to wait, after so many hangs of the same request: each doubles it, so none is given up too early."""
        if not self.settled:
            return self._longest
        usual = self._mean + self.DEVIATIONS * self._deviation
        return float(min(self._longest, max(self._shortest, usual) * 2**hangs))
