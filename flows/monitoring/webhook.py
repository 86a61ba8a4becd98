"""Tells a webhook how a run goes: it finished, failed, was stopped, or stalls.

Promises: no secret leaves (not the URL, not a key, not a password inside a URL); a receiver that is away or slow costs
a few seconds at the end, and never a run.
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
"""How long the end of a run waits for its last word to be heard."""
PASSWORD = re.compile(r"(://)[^/\s@]+@")


class Event(StrEnum):
    """What is told."""

    FINISHED = "finished"
    FAILED = "failed"
    STOPPED = "stopped"
    STALLED = "stalled"


class Notifier:
    """Posts events to one URL, in their order, from a thread of its own."""

    def __init__(self, url: str, secrets: Collection[str] = ()) -> None:
        """`secrets`: what must not be in anything told."""
        self._url = url
        self._secrets = tuple(sorted(filter(None, secrets), key=len, reverse=True))
        self._poster = ThreadPoolExecutor(1, thread_name_prefix="notifier")
        self._closing = threading.Event()
        self._last: Future[None] | None = None

    def tell(self, event: Event, facts: dict[str, str | float | None]) -> None:
        """Have an event posted: its facts, with time and host."""
        known = {key: self._clean(value) if isinstance(value, str) else value for key, value in facts.items()}
        body = {"event": event.value, "at": stamp(time.time()), "host": socket.gethostname(), **known}
        self._last = self._poster.submit(self._post, body)

    def close(self) -> None:
        """Wait a little until all is heard."""
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
                log.warning("the webhook did not take the event %s: %s", body["event"], type(error).__name__)
            else:
                return
            if self._closing.wait(2.0**number):
                return

    def _clean(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return PASSWORD.sub(r"\1***@", text)
