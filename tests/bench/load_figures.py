"""What came of a load that was put on a server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class TokenUsage:
    """What came of it, times in seconds."""

    latencies: list[float] = field(default_factory=list)
    """Of what was answered."""
    lateness: list[float] = field(default_factory=list)
    lost: int = 0
    resent: int = 0


def summarise(tally: TokenUsage, seconds: float) -> dict[str, float]:
    """The figures of a load."""
    latencies, lateness = sorted(tally.latencies), sorted(tally.lateness)
    return {
        "answered": len(latencies),
        "per_second": len(latencies) / seconds,
        "median_ms": 1000 * take_share(latencies, 0.5),
        "p99_ms": 1000 * take_share(latencies, 0.99),
        "longest_ms": 1000 * latencies[-1],
        "late_ms": 1000 * take_share(lateness, 0.99),
        "latest_ms": 1000 * lateness[-1],
        "lost": tally.lost,
        "resent": tally.resent,
    }


def take_share(ordered: Sequence[float], share: float) -> float:
    """The number that so large a share of the others is below."""
    return ordered[int(share * len(ordered))]
