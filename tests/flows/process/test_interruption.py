"""Interruption: what the parent of workers defers, and that nothing deferred is lost."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from flows.process.interruption import defer_interrupts


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("failing", [False, True])
def test_a_signal_that_another_thread_receives_waits_for_the_end(number: signal.Signals, failing: bool) -> None:
    started = threading.Event()
    steps: list[str] = []

    def send() -> None:  # without a mask of its own, so that the kernel gives it the signal
        started.wait(10)
        os.kill(os.getpid(), number)

    def start_worker() -> None:
        with defer_interrupts():
            started.set()
            sender.join()
            time.sleep(0.01)
            steps.append("started")
            if failing:
                raise ValueError

    sender = threading.Thread(target=send)
    sender.start()
    before = signal.signal(number, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            start_worker()
        assert steps == ["started"]
        assert signal.getsignal(number) is signal.default_int_handler
        assert number not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    finally:
        signal.signal(number, before)


def test_what_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with defer_interrupts():
            os.kill(os.getpid(), signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)
