"""Webhook notifications of a run: finished, failed, stopped or stalled.

Guarantees: no secret is sent (not the URL, not a key, not a password inside a URL); an unavailable or slow receiver
costs a few seconds at the end, and never a run.
"""

from __future__ import annotations

import logging
import re
import socket
import threading
import time
from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor, wait
from enum import StrEnum

import httpx

from flows.process.logs import stamp
from pipeline.errors import ConfigError
from pipeline.http.proxies import open_client

log = logging.getLogger(__name__)

TRIES = 3
TRY_SECONDS = 5.0
LAST_WORD_SECONDS = 10.0
"""Maximum wait at the end of a run for its last notification to be delivered."""
PASSWORD = re.compile(r"(://)[^/\s@]+@")


class Event(StrEnum):
    """Kind of event."""

    FINISHED = "finished"
    FAILED = "failed"
    STOPPED = "stopped"
    STALLED = "stalled"


class Notifier:
    """Poster of events to one URL, in order, from its own thread."""

    def __init__(self, url: str, secrets: Collection[str] = ()) -> None:
        """`secrets`: texts that must not appear in a notification."""
        self._url = url
        self._secrets = tuple(sorted(filter(None, secrets), key=len, reverse=True))
        self._poster = ThreadPoolExecutor(1, thread_name_prefix="notifier")
        self._closing = threading.Event()
        self._last: Future[None] | None = None

    def tell(self, event: Event, facts: dict[str, str | float | None]) -> None:
        """Queue an event with its facts, time and host."""
        known = {key: self._clean(value) if isinstance(value, str) else value for key, value in facts.items()}
        body = {"event": event.value, "at": stamp(time.time()), "host": socket.gethostname(), **known}
        self._last = self._poster.submit(self._post, body)

    def close(self) -> None:
        """Wait briefly until all events are delivered."""
        if self._last is not None:
            wait([self._last], LAST_WORD_SECONDS)
        self._closing.set()
        self._poster.shutdown(wait=False, cancel_futures=True)

    def _post(self, body: dict[str, str | float | None]) -> None:
        for number in range(TRIES):
            try:
                with open_client(self._url, timeout=TRY_SECONDS) as client:
                    client.post(self._url, json=body).raise_for_status()
            except (httpx.HTTPError, httpx.InvalidURL, ConfigError) as error:
                log.warning("the webhook rejected the event %s: %s", body["event"], type(error).__name__)
            else:
                return
            if self._closing.wait(2.0**number):
                return

    def _clean(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return PASSWORD.sub(r"\1***@", text)
