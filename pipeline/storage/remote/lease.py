"""Who works on a run that lies on an object store: a row of numbered sessions, of which the last may be at work.

A session is an object `.leases/<number>` that its owner makes - only where none of that number is - and puts again
every few seconds as a sign of life. At its end it says so in the object. A session without a sign of life for the time
of its lease is taken for dead and the next number taken. Numbers only grow, so an owner that was taken for dead and is
not finds a higher one and stops.

Promises: of two that begin at once one succeeds, on a store that makes objects conditionally (S3, Google's, Azure's;
elsewhere it is a matter of milliseconds); no clock of a machine is compared with that of another: ages are those of
objects, by the store's clock, against one put just now.
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
"""Signs of life in the time of a lease."""
GIVEN_UP = 5
"""Beats without an answer of the store after which an owner stops: before anyone may take it for dead."""


@dataclass(frozen=True, slots=True)
class Lease:
    """One who worked on the run, as its object tells."""

    number: int
    token: str
    owner: str
    """Which machine and process, for people."""
    lease: float
    ended: bool


def find_last(store: ObjectStore) -> Lease | None:
    """The last session over a run; None when there was none. Raises StorageError."""
    while keys := sorted(key for key in store.find(FOLDER) if key.rpartition("/")[2].isdigit()):
        content = store.read(keys[-1])
        if content is not None:  # else it was tidied away just now
            return _read(int(keys[-1].rpartition("/")[2]), content)
    return None


def find_number(store: ObjectStore) -> int:
    """The number of the last session; 0 when there was none. One request."""
    return max(
        (int(name) for name in (key.rpartition("/")[2] for key in store.find(FOLDER)) if name.isdigit()), default=0
    )


class RunLease:
    """Our session over a run."""

    def __init__(self, store: ObjectStore, owner: str, lease: float, lost: Callable[[str], None]) -> None:
        """`lost` is called, from a thread, with the reason, when another has taken over or the store is gone."""
        self._store, self._owner, self._lease, self._lost = store, owner, lease, lost
        self._token = uuid.uuid4().hex
        self._beat = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._live, name="store-lock", daemon=True)
        self.number = 0

    def begin(self, dead: str | None = None) -> Lease | None:
        """Take the next number; the session before it. `dead`: token of a session that is known to have ended.

        Waits for one that gives no sign of life until its lease is over. Raises StorageError while another is at work.
        """
        while True:
            last = find_last(self._store)
            if last is not None and not last.ended and last.token != dead:
                self._outlive(last)
            self.number = last.number + 1 if last else 1
            if self._store.create(self._key(self.number), self._describe(ended=False)):
                if find_number(self._store) == self.number:
                    break
                self._store.delete([self._key(self.number)])  # numbers were tidied away between our two looks
        self._tidy()
        self._thread.start()
        return last

    @property
    def token(self) -> str:
        """What this session is known by."""
        return self._token

    def end(self) -> None:
        """Say that the work is over. A store that is gone learns it by the lease."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        with suppress(StorageError):
            if find_number(self._store) == self.number:
                self._store.write(self._key(self.number), self._describe(ended=True))

    def _outlive(self, other: Lease) -> None:
        """Return when a session is over. Raises StorageError when it shows that it lives."""
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
        """Give signs of life until the end, or until somebody else has the run."""
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
