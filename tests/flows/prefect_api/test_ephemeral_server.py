"""The end of Prefect's temporary API: events are sent before it, and nothing delays the end of the process."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.places import REPOSITORY

pytestmark = pytest.mark.processes

SEND = """
import asyncio
from contextlib import asynccontextmanager, contextmanager

from prefect.events import emit_event
from prefect.events.clients import AssertingEventsClient
from prefect.events.worker import EventsWorker

from flows.prefect_api import ephemeral_server

@asynccontextmanager
async def never_left(worker, whole=EventsWorker._lifespan):
    async with whole(worker):
        yield
        await asyncio.Event().wait()

@contextmanager
def serve(database):
    yield "http://127.0.0.1:9/api"
    print(sum(event.event == "sent" for event in AssertingEventsClient.last.events), "before the API ends")

ephemeral_server._serve = serve
ephemeral_server.keep_template = lambda database: None
EventsWorker.set_client_override(AssertingEventsClient)
if STUCK:
    EventsWorker._lifespan = never_left
    ephemeral_server.DISMISS_SECONDS = 0.5
with ephemeral_server.temporary_api():
    for number in range(20):
        emit_event(event="sent", resource={"prefect.resource.id": f"rampforge.{number}"})
"""


def end_with(stuck: bool) -> str:
    words = [sys.executable, "-c", f"STUCK = {stuck}\n{SEND}"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=90, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_events_are_sent_before_the_api_ends() -> None:
    assert end_with(stuck=False) == "20 before the API ends\n"


def test_a_worker_that_never_ends_does_not_delay_the_end_of_the_process() -> None:
    assert end_with(stuck=True) == "20 before the API ends\n"
