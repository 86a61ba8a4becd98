"""Deadlines: what hangs is ended, what the client itself had no time to read is not."""

from __future__ import annotations

import asyncio
import time

import pytest

from pipeline.llm.concurrency_limit import AdaptiveTimeout
from pipeline.llm.deadlines import Deadlines


def test_a_request_that_hangs_is_ended_by_what_is_usual_in_the_end() -> None:
    async def run() -> float:
        loop, patience = asyncio.get_running_loop(), AdaptiveTimeout(0.2, 60.0)
        started = loop.time()
        waiting = asyncio.ensure_future(Deadlines().wait_for(loop.create_future(), patience, 0))
        await asyncio.sleep(0.1)
        for _ in range(AdaptiveTimeout.SAMPLES):
            patience.note(0.01)  # sent when nobody knew how long a reply takes
        with pytest.raises(TimeoutError):
            await waiting
        return loop.time() - started

    assert 0.2 <= asyncio.run(asyncio.wait_for(run(), 10)) < 5


def test_time_in_which_the_loop_was_held_up_hardly_counts() -> None:
    async def run() -> str:
        loop = asyncio.get_running_loop()
        reply = loop.create_future()
        loop.call_later(0.05, time.sleep, 1.5)
        loop.call_later(0.6, reply.set_result, "there")
        return await Deadlines().wait_for(reply, AdaptiveTimeout(1.0, 1.0), 0)

    assert asyncio.run(run()) == "there"
