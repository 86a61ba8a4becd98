"""One run at a time on an object store: who comes second is refused, who died is outlived, who was outlived stops."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from pipeline.errors import StorageError
from pipeline.storage.remote import lease as store_lock
from pipeline.storage.remote.lease import RunLease, find_last, find_number
from pipeline.storage.remote.object_store import ObjectStore
from tests.support.s3_server import s3, s3_server

__all__ = ["s3", "s3_server"]

LEASE = 2.0


@contextmanager
def session(url: str, owner: str = "us", dead: str | None = None, lost: list[str] | None = None) -> Iterator[RunLease]:
    reasons = [] if lost is None else lost
    lock = RunLease(ObjectStore(url, 0), owner, LEASE, reasons.append)
    lock.begin(dead)
    try:
        yield lock
    finally:
        lock.end()


def leave_behind(url: str, number: int = 1) -> str:
    """A session whose process was killed: nobody gives a sign of life for it any more."""
    about = {"token": "of-the-dead", "owner": "the dead", "lease": LEASE, "beat": 3, "ended": False}
    ObjectStore(url).write(f".leases/{number:08d}", json.dumps(about).encode())
    return "of-the-dead"


def test_second_run_is_refused_while_the_first_lives(s3: str) -> None:
    with session(s3, "machine one"), pytest.raises(StorageError, match="at work here: machine one"), session(s3):
        pytest.fail("both at work")


def test_next_run_begins_at_once_when_the_last_has_ended(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunLease, "_outlive", lambda *_: pytest.fail("it waits for a session that has ended"))
    for number in (1, 2, 3):
        with session(s3) as lock:
            assert lock.number == number
    last = find_last(ObjectStore(s3))
    assert last is not None
    assert (last.number, last.ended) == (3, True)
    assert len(ObjectStore(s3).find(".leases")) == 1, "what is over is tidied away"


def test_dead_run_is_outlived_by_the_clock_of_the_store_alone(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Our own clock may jump as it likes: only the one that cannot jump is there to be read.
    monkeypatch.setattr(store_lock, "time", SimpleNamespace(monotonic=time.monotonic))
    leave_behind(s3)
    with session(s3) as lock:
        assert lock.number == 2


def test_dead_run_of_this_machine_is_not_waited_for(s3: str) -> None:
    token = leave_behind(s3)
    store = ObjectStore(s3)
    assert RunLease(store, "us", 1000, print).begin(dead=token) == find_last(store) or find_number(store) == 2


def test_of_many_that_begin_at_once_one_succeeds(s3: str) -> None:
    leave_behind(s3, 7)
    done = threading.Event()
    outcomes: list[int | None] = []

    def begin(number: int) -> None:
        try:
            with session(s3, str(number)) as lock:
                outcomes.append(lock.number)
                done.wait(30)
        except StorageError:
            outcomes.append(None)
            if outcomes.count(None) == 3:
                done.set()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(begin, range(4)))
    assert sorted(outcomes, key=str) == [8, None, None, None]


def test_run_that_was_taken_for_dead_learns_it(s3: str) -> None:
    reasons: list[str] = []
    with session(s3, lost=reasons) as lock:
        leave_behind(s3, lock.number + 1)
        deadline = time.monotonic() + 30
        while not reasons and time.monotonic() < deadline:
            time.sleep(0.05)
    assert "taken this run over" in reasons[0]
    last = find_last(ObjectStore(s3))
    assert last is not None
    assert last.owner == "the dead", "it leaves the other's session alone"


def test_run_stops_before_others_may_take_it_for_dead(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reasons: list[str] = []
    with session(s3, lost=reasons):

        def fail(*_: object) -> None:
            raise StorageError("the store does not answer")

        started = time.monotonic()
        monkeypatch.setattr(ObjectStore, "write", fail)
        while not reasons and time.monotonic() - started < 30:
            time.sleep(0.01)
        monkeypatch.undo()
    assert reasons == ["the store does not answer"]
