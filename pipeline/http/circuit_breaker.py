"""Circuit breaker of a server. Times are arguments, in seconds from any origin."""

from __future__ import annotations


class CircuitBreaker:
    """Stops requests to a server after consecutive faults, then admits single probes until one is answered."""

    FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0

    def __init__(self, trip: int = 10) -> None:
        """`trip`: consecutive faults after which the breaker opens."""
        self.trip = trip
        self.open_until: float | None = None
        """Time of the next probe; None while the breaker is closed."""
        self.silent_since: float | None = None
        """Time of the first of the current consecutive faults."""
        self._faults = 0
        self._pause = self.FIRST_PAUSE
        self._opened_at = float("-inf")
        self._probing = False

    def admits(self, now: float) -> bool:
        """Whether a request may be sent."""
        return self.open_until is None or (now >= self.open_until and not self._probing)

    def start(self) -> None:
        """Record the start of a request."""
        self._probing = self.open_until is not None

    def note_answer(self) -> None:
        """Record an answer, which may be a refusal: closes the breaker."""
        self._faults = 0
        self.open_until = self.silent_since = None
        self._pause = self.FIRST_PAUSE
        self._probing = False

    def note_fault(self, now: float, started: float) -> bool:
        """Record a missing or invalid answer; whether it opened the breaker."""
        self.silent_since = now if self.silent_since is None else self.silent_since
        self._faults += 1
        if self._faults < self.trip or started < self._opened_at:
            return False
        self._probing = False
        self._opened_at = now
        self.open_until = now + self._pause
        self._pause = min(self.LONGEST_PAUSE, 2 * self._pause)
        return True

    def abandon(self) -> None:
        """Record the cancellation of a request, which may have been the probe."""
        self._probing = False
