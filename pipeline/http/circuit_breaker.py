"""When a server that does not answer is left alone, and when it is tried again.

No clock is read here: times come in, in seconds from any origin.
"""

from __future__ import annotations


class CircuitBreaker:
    """Leaves a server alone after faults in a row, then lets single requests try it until one is answered."""

    FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0

    def __init__(self, trip: int = 10) -> None:
        """`trip`: faults in a row after which the server is left alone."""
        self.trip = trip
        self.open_until: float | None = None
        """When the next try is due; None while requests flow."""
        self.silent_since: float | None = None
        """When the first fault of the current row came."""
        self._faults = 0
        self._pause = self.FIRST_PAUSE
        self._opened_at = float("-inf")
        self._probing = False

    def admits(self, now: float) -> bool:
        """Whether a request may be sent."""
        return self.open_until is None or (now >= self.open_until and not self._probing)

    def start(self) -> None:
        """A request is sent."""
        self._probing = self.open_until is not None

    def note_answer(self) -> None:
        """The server answered, be it with a refusal."""
        self._faults = 0
        self.open_until = self.silent_since = None
        self._pause = self.FIRST_PAUSE
        self._probing = False

    def note_fault(self, now: float, started: float) -> bool:
        """The server did not answer, or not sensibly. True when it is left alone from now on."""
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
        """The request was cancelled before its end: another one may try."""
        self._probing = False
