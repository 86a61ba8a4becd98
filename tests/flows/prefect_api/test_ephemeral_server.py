"""The end of Prefect's temporary API: what was to be told is told, and nothing holds up our own end."""

from __future__ import annotations

import subprocess
import sys

from tests.support.places import REPOSITORY

TELL = """
import asyncio
from contextlib import asynccontextmanager

from prefect.events import emit_event
from prefect.events.clients import AssertingEventsClient
from prefect.events.worker import EventsWorker

from flows.prefect_api import ephemeral_server

@asynccontextmanager
async def never_left(worker, whole=EventsWorker._lifespan):
    async with whole(worker):
        yield
        await asyncio.Event().wait()

EventsWorker.set_client_override(AssertingEventsClient)
if STUCK:
    EventsWorker._lifespan = never_left
    ephemeral_server.DISMISS_SECONDS = 0.5
with ephemeral_server.temporary_api():
    for number in range(20):
        emit_event(event="told", resource={"prefect.resource.id": f"rampforge.{number}"})
print(sum(event.event == "told" for event in AssertingEventsClient.last.events))
"""


def end_with(stuck: bool) -> str:
    words = [sys.executable, "-c", f"STUCK = {stuck}\n{TELL}"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=90, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_events_are_told_before_the_api_goes() -> None:
    assert end_with(stuck=False) == "20\n"


def test_a_worker_that_never_ends_does_not_hold_up_our_end() -> None:
    assert end_with(stuck=True) == "20\n"
