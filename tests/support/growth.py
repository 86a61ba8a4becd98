"""Growth: how much CPU time an input ten times as large costs. Linear work comes to 10, quadratic work to 100."""

from __future__ import annotations

import ctypes
import gc
import math
import time
from collections.abc import Callable
from typing import TypeVar

Input = TypeVar("Input")

# The issue of linear time allows half as much again, for caches and allocators.
LINEAR = 15.0
MEASURABLE = 0.003
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Options of glibc's mallopt."""


def cpu_growth(make: Callable[[int], Input], work: Callable[[Input], object], size: int = 1000) -> float:
    """CPU time of `work(make(10 * n))` over that of `work(make(n))`, each the best of three.

    n starts at `size` and is doubled until `work` takes a measurable time. A busy machine can slow one of the two, so a
    ratio over `LINEAR` is measured up to twice more and the lowest counts: quadratic work stays near 100.
    """
    _keep_freed_memory()
    while _best_of_three(make(size), work) < MEASURABLE and size < 1_000_000:
        size *= 2
    small, large = make(size), make(10 * size)
    ratio = math.inf
    for _ in range(3):
        ratio = min(ratio, _best_of_three(large, work) / max(_best_of_three(small, work), MEASURABLE / 10))
        if ratio <= LINEAR:
            break
    return ratio


def _keep_freed_memory() -> None:
    """Page faults of fresh memory would cost a large input more than the work that is measured."""
    if set_option := getattr(ctypes.CDLL(None), "mallopt", None):
        set_option(M_MMAP_MAX, 0)
        set_option(M_TRIM_THRESHOLD, 1 << 30)


def _best_of_three(given: Input, work: Callable[[Input], object]) -> float:
    gc.collect()
    return min(_cpu_seconds(given, work) for _ in range(3))


def _cpu_seconds(given: Input, work: Callable[[Input], object]) -> float:
    started = time.process_time()
    work(given)
    return time.process_time() - started
