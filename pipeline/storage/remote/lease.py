"""Lease of a run on an object store: numbered sessions, of which the last may be active.

A session is an object `.leases/<number>`, which its owner creates - only where that number is free - and writes again
every few seconds as a heartbeat. At its end the object records that. A session without a heartbeat for the time of its
lease counts as dead, and the next number is taken. Numbers only grow, so an owner that was declared dead by mistake
finds a higher one and stops.

Guarantees: of two sessions that begin at once one succeeds, on a store with conditional writes (S3, Google's, Azure's;
elsewhere within milliseconds); clocks of machines are never compared: ages are those of objects, by the store's clock,
against an object put just now.
"""

from __future__ import annotations

import json
import logging
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pipeline.errors import RunHeldError, StorageError
from pipeline.storage.remote.object_store import ObjectStore

log = logging.getLogger(__name__)

FOLDER = ".leases"
BEATS = 8
"""Heartbeats in the time of a lease."""
GIVEN_UP = 5
"""Heartbeats without a reply of the store after which an owner stops: before others may declare it dead."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A session, as read from its object."""

    number: int
    token: str
    owner: str
    """Machine and process, for messages."""
    lease: float
    ended: bool


def find_last(store: ObjectStore) -> Lease | None:
    """The last session of a run, if any. Raises StorageError."""
    while keys := sorted(key for key in store.find(FOLDER) if key.rpartition("/")[2].isdigit()):
        content = store.read(keys[-1])
        if content is not None:  # else it has just been removed
            return _read(int(keys[-1].rpartition("/")[2]), content)
    return None


def find_number(store: ObjectStore) -> int:
    """The number of the last session; 0 without one. One request."""
    return max(
        (int(name) for name in (key.rpartition("/")[2] for key in store.find(FOLDER)) if name.isdigit()), default=0
    )


class RunLease:
    """The session of this process."""

    def __init__(self, store: ObjectStore, owner: str, lease: float, lost: Callable[[str], None]) -> None:
        """`lost` is called, from a thread, with the reason, when another session began or the store does not answer."""
        self._store, self._owner, self._lease, self._lost = store, owner, lease, lost
        self._token = uuid.uuid4().hex
        self._beat = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._live, name="store-lock", daemon=True)
        self.number = 0

    def begin(self, dead: str | None = None) -> Lease | None:
        """Take the next number; the session before it. `dead`: token of a session that is known to have ended.

        Waits until the lease of a silent session expires. Raises StorageError while another is active.
        """
        while True:
            last = find_last(self._store)
            if last is not None and not last.ended and last.token != dead:
                self._outlive(last)
            self.number = last.number + 1 if last else 1
            if self._store.create(self._key(self.number), self._describe(ended=False)):
                if find_number(self._store) == self.number:
                    break
                self._store.delete([self._key(self.number)])  # numbers were removed between the two requests
        self._tidy()
        self._thread.start()
        return last

    @property
    def token(self) -> str:
        """Identity of this session."""
        return self._token

    def end(self) -> None:
        """Record the end of the session; if the store does not answer, the lease expires."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        with suppress(StorageError):
            if find_number(self._store) == self.number:
                self._store.write(self._key(self.number), self._describe(ended=True))

    def _outlive(self, other: Lease) -> None:
        """Wait for the end of a session. Raises StorageError at a heartbeat."""
        key = self._key(other.number)
        seen = self._store.read(key)
        age = self._measure_age(key)
        if age > other.lease / BEATS * 2:
            log.warning("%s: waiting to see whether %s still lives", self._store.url, other.owner)
        while age <= other.lease:
            self._stop.wait(min(other.lease / BEATS, other.lease - age + 1))
            content = self._store.read(key)
            if content is None or _read(other.number, content).ended:
                return
            if content != seen:
                raise RunHeldError(
                    f"{self._store.url}: another rampforge is at work here: {other.owner}", "wait for it, or stop it"
                )
            age = self._measure_age(key)

    def _measure_age(self, key: str) -> float:
        """Seconds since an object was put, by the store's clock alone."""
        probe = f"{FOLDER}/probe-{self._token}"
        self._store.write(probe, b"")
        try:
            now, then = self._store.modified(probe), self._store.modified(key)
        except NotImplementedError:
            raise StorageError(
                f"{self._store.url}: this store does not tell how old {key} is", "remove it when nobody is at work"
            ) from None
        finally:
            self._store.delete([probe])
        return (now - then).total_seconds() if now and then else float("inf")

    def _live(self) -> None:
        """Send heartbeats until the end, or until another session begins."""
        answered = time.monotonic()
        pause = self._lease / BEATS
        while not self._stop.wait(pause):
            self._beat += 1
            try:
                if find_number(self._store) > self.number:
                    self._lost(f"{self._store.url}: another rampforge has taken this run over")
                    return
                self._store.write(self._key(self.number), self._describe(ended=False))
                answered = time.monotonic()
            except StorageError as error:
                if time.monotonic() - answered > GIVEN_UP * pause:
                    self._lost(error.what)
                    return

    def _tidy(self) -> None:
        keys = (key for key in self._store.find(FOLDER) if key.rpartition("/")[2].isdigit())
        self._store.delete(key for key in list(keys) if int(key.rpartition("/")[2]) < self.number)

    def _describe(self, *, ended: bool) -> bytes:
        about = {"token": self._token, "owner": self._owner, "lease": self._lease, "beat": self._beat, "ended": ended}
        return json.dumps(about).encode()

    @staticmethod
    def _key(number: int) -> str:
        return f"{FOLDER}/{number:08d}"


def _read(number: int, content: bytes) -> Lease:
    try:
        about: dict[str, Any] = json.loads(content)
        return Lease(number, about["token"], about["owner"], float(about["lease"]), bool(about["ended"]))
    except (ValueError, KeyError, TypeError):  # torn, on a store that writes in place
        return Lease(number, "", "an unknown owner", 120.0, False)
