"""Running means with their standard errors."""

from __future__ import annotations

import math
from dataclasses import dataclass

from schemas.plan import Range

ERRORS = 2.0
"""Standard errors to either side of a mean: about 95 in 100 such ranges hold the true value."""


@dataclass(slots=True)
class Spread:
    """Count, mean and sum of squared deviations (Welford, Technometrics 4(3), 1962)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, value: float, times: int = 1) -> None:
        """Add a number that occurred `times` times, 0 included."""
        if not times:
            return
        self.count += times
        away = value - self.mean
        self.mean += away * times / self.count
        self.squares += times * away * (value - self.mean)

    @property
    def error(self) -> float:
        """Standard error of the mean; the mean itself while there are fewer than two numbers."""
        if self.count < 2:
            return self.mean
        return math.sqrt(self.squares / (self.count - 1) / self.count)

    def range(self) -> Range:
        """The mean plus and minus two standard errors."""
        return around(self.mean, self.error)


def around(mean: float, error: float) -> Range:
    """A mean plus and minus two standard errors, not below 0."""
    return Range(low=max(0.0, mean - ERRORS * error), mean=mean, high=mean + ERRORS * error)
