"""The retry policy: what is tried again, how often, how long, and after which pauses."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest

from pipeline.http.errors import HttpStatusError, RefusalError, ThrottledError, UnavailableError, make_status_error
from pipeline.http.retrying import LONGEST_RETRY_AFTER, AsyncRetrying, Retrying, retrying


def run(faults: list[Exception], **settings: Any) -> tuple[int, list[float], Exception | None]:
    """Tries made, pauses asked for, and the error at the end, of work that fails so and then returns."""
    pauses: list[float] = []
    tries = 0

    def work() -> None:
        nonlocal tries
        tries += 1
        if tries <= len(faults):
            raise faults[tries - 1]

    retry = retrying(Retrying, "work", (HttpStatusError, OSError), **settings)
    retry.sleep = pauses.append
    try:
        retry(work)
    except Exception as error:
        return tries, pauses, error
    return tries, pauses, None


def make_throttle(seconds: float) -> HttpStatusError:
    return make_status_error(429, b"", {"retry-after": str(seconds)})


def test_faults_that_pass_are_tried_again_and_others_are_not() -> None:
    assert run([OSError(), UnavailableError(503, b"", {})])[0] == 3
    tries, _, error = run([OSError(), ValueError("mine")])
    assert (tries, str(error)) == (2, "mine")
    refusal = RefusalError(400, b"", {})
    assert run([refusal], unless=lambda error: isinstance(error, RefusalError)) == (1, [], refusal)


def test_the_last_error_is_raised_after_so_many_tries() -> None:
    faults: list[Exception] = [OSError(str(n)) for n in range(9)]
    assert run(faults, tries=3)[::2] == (3, faults[2])
    assert run(faults, tries=1)[::2] == (1, faults[0])


def test_no_try_begins_after_the_time_is_over() -> None:
    faults: list[Exception] = [make_throttle(60)] * 9
    assert run(faults, seconds=30)[:2] == (1, [])


def test_a_429_costs_no_try_where_it_has_a_time_of_its_own() -> None:
    faults: list[Exception] = [*[make_throttle(1)] * 6, OSError(), OSError()]
    assert run(faults, tries=2, throttled_seconds=60)[0] == 8
    assert isinstance(run(faults, tries=2, throttled_seconds=-1)[2], ThrottledError)


def test_pauses_double_up_to_a_cap_and_a_server_may_ask_for_longer_ones() -> None:
    faults: list[Exception] = [OSError()] * 12
    bounds = [min(4.0, 0.5 * 2**n) for n in range(12)]
    drawn = [run(faults, longest_pause=4.0)[1] for _ in range(50)]
    assert all(pause <= bound for pauses in drawn for pause, bound in zip(pauses, bounds, strict=True))
    assert max(pauses[5] for pauses in drawn) > 3.0
    assert min(pauses[5] for pauses in drawn) < 1.0
    (pause,) = run([make_throttle(5)], longest_pause=1.0)[1]
    assert 5 <= pause <= 6.25
    (pause,) = run([make_throttle(10**9)])[1]
    assert pause <= 1.25 * LONGEST_RETRY_AFTER
    assert run(faults, longest_pause=0.0)[1] == [0.0] * 12


@pytest.mark.parametrize("fails", [0, 2])
def test_it_serves_coroutines_too(fails: int) -> None:
    def make() -> Callable[[], Any]:
        left = fails

        async def work() -> str:
            nonlocal left
            left -= 1
            if left >= 0:
                raise OSError
            return "done"

        return work

    assert asyncio.run(retrying(AsyncRetrying, "work", OSError, longest_pause=0.0)(make())) == "done"


def test_nothing_of_a_call_is_left_to_the_garbage_collector() -> None:
    async def work(sent: bytes) -> bytes:
        return sent

    async def call() -> None:
        for _ in range(100):
            await retrying(AsyncRetrying, "work", OSError)(work, b"sent")

    async def count() -> int:
        await call()
        gc.collect()
        gc.disable()
        try:
            await call()
            return gc.collect()
        finally:
            gc.enable()

    assert asyncio.run(count()) < 100
