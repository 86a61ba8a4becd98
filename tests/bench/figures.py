"""One line of a benchmark's table, how two things are compared fairly, and how a piece of work is measured apart."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured number and the bound it is held against."""

    name: str
    value: float
    unit: str
    bound: str = ""
    """`>= 0.9`, `<= 1.2`, or empty for a number that is only reported."""
    note: str = ""

    def holds(self) -> bool | None:
        """Whether the bound is met; None when there is none."""
        if not self.bound:
            return None
        sign, limit = self.bound.split()
        return self.value >= float(limit) if sign == ">=" else self.value <= float(limit)


def compare_cpu(ours: Callable[[], object], bare: Callable[[], object], rounds: int = 5) -> tuple[float, float, float]:
    """CPU seconds of ours and of the bare library (medians), and the median of bare/ours over rounds run in turn.

    CPU time of this process, one warm-up each: other work on the machine does not count, and a drift of its speed
    falls on both sides.
    """
    ours()
    bare()
    pairs = [(_cpu_seconds(ours), _cpu_seconds(bare)) for _ in range(rounds)]
    mine, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    return mine, theirs, statistics.median(b / a for a, b in pairs)


def _cpu_seconds(function: Callable[[], object]) -> float:
    started = time.process_time()
    function()
    return time.process_time() - started


def run_apart(module: str, function: str, *arguments: str) -> dict[str, float]:
    """Call a function of a benchmark module in a process of its own; its result, with `peak_mb` of that process."""
    code = (
        f"import json, resource, sys; from {module} import {function} as f; r = dict(f(*sys.argv[1:]));"
        "r['peak_mb'] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024; print(json.dumps(r))"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result
