"""What came of a load that was put on a server.

Besides the 99th percentile of all latencies there is that of a typical tenth of a second: of each tenth's, the median.
A machine that stands still for two milliseconds in every second keeps one request in a hundred waiting, whatever the
server does: that shows in the first, and not in the second.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """What came of it, times in seconds."""

    answered: list[tuple[float, float]] = field(default_factory=list)
    """When the latency began, and how long it was."""
    lateness: list[float] = field(default_factory=list)
    lost: int = 0
    resent: int = 0


def summarise(tally: Tally, seconds: float) -> dict[str, float]:
    """The figures of a load."""
    latencies, lateness = sorted(latency for _, latency in tally.answered), sorted(tally.lateness)
    return {
        "answered": len(latencies),
        "per_second": len(latencies) / seconds,
        "median_ms": 1000 * take_share(latencies, 0.5),
        "p99_ms": 1000 * take_share(latencies, 0.99),
        "typical_p99_ms": 1000 * statistics.median(take_share(tenth, 0.99) for tenth in split_into_tenths(tally)),
        "longest_ms": 1000 * latencies[-1],
        "late_ms": 1000 * take_share(lateness, 0.99),
        "latest_ms": 1000 * lateness[-1],
        "lost": tally.lost,
        "resent": tally.resent,
    }


def split_into_tenths(tally: Tally) -> list[list[float]]:
    """The latencies that began in each tenth of a second, in order of length."""
    tenths: defaultdict[int, list[float]] = defaultdict(list)
    for began, latency in tally.answered:
        tenths[int(began * 10)].append(latency)
    return [sorted(tenth) for tenth in tenths.values()]


def take_share(ordered: Sequence[float], share: float) -> float:
    """The number that so large a share of the others is below."""
    return ordered[int(share * len(ordered))]
