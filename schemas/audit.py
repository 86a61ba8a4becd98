"""Measures of a corpus: what its masks give away and how its accepted attempts found their answers."""

from __future__ import annotations

import math

from schemas.record import Frozen

Z = 1.96
"""Standard normal quantile of a 95% interval."""


class Measure(Frozen):
    """Share of a corpus that has a property."""

    name: str
    """Name, such as `shortcuts`."""
    part: str
    """Part of the corpus it was counted over, such as `hide=passage, k=2`; empty for the whole."""
    count: int
    """Things with the property."""
    of: int
    """Things looked at."""
    about: str
    """What is counted, of what."""

    @property
    def share(self) -> float | None:
        """`count` of `of`; None of nothing."""
        return self.count / self.of if self.of else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95% interval of the share (Wilson 1927); None of nothing."""
        if self.share is None:
            return None
        spread = Z * math.sqrt(self.share * (1 - self.share) / self.of + Z * Z / (4 * self.of**2))
        centre, scale = self.share + Z * Z / (2 * self.of), 1 + Z * Z / self.of
        return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)
