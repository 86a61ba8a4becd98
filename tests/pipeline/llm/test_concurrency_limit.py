"""Flow control on simulated servers: no clock, no sockets. Noise must not slow a run down, overload must."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable

import pytest

from pipeline.http.circuit_breaker import CircuitBreaker
from pipeline.llm.concurrency_limit import AdaptiveTimeout, ConcurrencyLimit

Server = Callable[[int, float], tuple[bool, float]]
"""(requests at the server, time) -> (turned away, seconds)."""


def drive(limit: ConcurrencyLimit, server: Server, requests: int, waiting: Callable[[int], int] | None = None) -> float:
    """Keep the limit full until so many replies came; replies a second over the second half."""
    now, replies, half = 0.0, 0, 0.0
    ends: list[tuple[float, float, bool]] = []
    while replies < requests:
        while len(ends) < limit.limit:
            turned_away, seconds = server(len(ends), now)
            heapq.heappush(ends, (now + seconds, now, turned_away))
        saturated = len(ends) >= limit.limit
        now, started, turned_away = heapq.heappop(ends)
        if turned_away:
            limit.note_throttle(now, started)
            continue
        replies += 1
        if replies == requests // 2:
            half = now
        if limit.note_reply(saturated) and waiting is not None:
            limit.queue = waiting(len(ends))
    return (requests - requests // 2) / (now - half)


@pytest.mark.parametrize("noise", [0.01, 0.05])
def test_random_429s_do_not_slow_a_run_down(noise: float) -> None:
    dice = random.Random(1)
    limit = ConcurrencyLimit(256)
    rate = drive(limit, lambda load, now: (dice.random() < noise, 0.5), 30_000)
    assert rate > 0.85 * 256 / 0.5


def test_server_that_turns_away_what_is_too_much_is_driven_near_its_knee() -> None:
    limit = ConcurrencyLimit(1000)
    rate = drive(limit, lambda load, now: (True, 0.01) if load >= 50 else (False, 0.5), 5000)
    assert 35 <= limit.limit <= 75
    assert rate > 0.8 * 50 / 0.5


def test_limit_comes_back_after_a_squeeze() -> None:
    limit = ConcurrencyLimit(200)
    drive(limit, lambda load, now: (load >= 10 and now < 20, 0.01 if load >= 10 and now < 20 else 0.5), 60_000)
    assert limit.limit > 120


def test_queue_that_a_server_reports_is_kept_short() -> None:
    limit = ConcurrencyLimit(512)
    served = 64
    drive(limit, lambda load, now: (False, max(1.0, (load + 1) / served)), 10_000, lambda load: max(0, load - served))
    assert served * 0.9 <= limit.limit <= served * 1.4


def test_server_that_scales_is_driven_at_its_limit() -> None:
    dice = random.Random(3)
    limit = ConcurrencyLimit(128)
    rate = drive(limit, lambda load, now: (False, dice.lognormvariate(0, 0.5)), 40_000)
    ideal = 128 / 2.718281828 ** (0.125)
    assert rate > 0.9 * ideal


def test_breaker_lets_one_request_try_and_closes_on_an_answer() -> None:
    breaker = CircuitBreaker()
    opened = [breaker.note_fault(1.0, 0.5) for _ in range(10)]
    assert opened == [False] * 9 + [True]
    assert not breaker.admits(1.5)
    assert breaker.admits(2.1)
    breaker.start()
    assert not breaker.admits(2.2), "one at a time"
    assert not breaker.note_fault(2.3, 0.5), "sent before it opened: says nothing new"
    assert breaker.note_fault(2.4, 2.1)
    assert not breaker.admits(4.0), "the pause has doubled"
    breaker.start()
    breaker.note_answer()
    assert breaker.admits(4.0)


def test_scattered_faults_never_open_the_breaker() -> None:
    breaker, dice = CircuitBreaker(), random.Random(4)
    for now in range(20_000):
        if dice.random() < 0.12:
            assert not breaker.note_fault(now, now - 0.5)
        else:
            breaker.note_answer()


def test_patience_is_long_until_it_knows_and_doubles_with_each_hang() -> None:
    patience = AdaptiveTimeout(5.0, 600.0)
    assert patience.deadline(0) == 600.0
    dice = random.Random(5)
    for _ in range(200):
        patience.note(dice.uniform(10, 14))
    assert 14 < patience.deadline(0) < 60
    assert patience.deadline(2) == pytest.approx(4 * patience.deadline(0))
    assert patience.deadline(20) == 600.0
