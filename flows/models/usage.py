"""The usage log of a run: every call of a language model with its cost; caps count from the start of the session."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from flows.configuration.run_context import RunContext
from pipeline.llm.budget import Budget
from pipeline.llm.prices import PriceTable
from pipeline.llm.usage_log import CallUsage, UsageLog
from pipeline.storage.files import write_atomically
from pipeline.storage.run_folder import RunFolder


def locate_usage_log(run: RunFolder) -> Path:
    """The file of a run's spending, shared by all its processes."""
    return run.root / "calls" / "usage.jsonl"


@dataclass(frozen=True, slots=True)
class SessionClock:
    """Seconds since 1970 as the wall clock had them when the session began, and counted on without it: a clock that is
    set in mid-run ends no session early, and makes no call longer."""

    began: float
    """The wall clock at the beginning."""
    origin: float
    """The monotonic clock at that time. All processes of a machine share it, and one machine makes all calls."""

    def __call__(self) -> float:
        """The time."""
        return self.began + time.monotonic() - self.origin


def begin_session(run: RunFolder) -> None:
    """Record the begin of a session, from which every process counts its hours."""
    write_atomically(_locate_session(run), f"{time.time()!r} {time.monotonic()!r}".encode())


def _locate_session(run: RunFolder) -> Path:
    return run.root / "calls" / "session.txt"


def find_clock(run: RunFolder) -> SessionClock | None:
    """The clock of the last session that began over a run; None where none was written down."""
    try:
        began, origin = map(float, _locate_session(run).read_text().split())
    except (FileNotFoundError, ValueError):  # ValueError: an earlier version wrote the beginning alone
        return None
    return SessionClock(began, origin)


def enter_calls(run: RunFolder, calls: Iterable[CallUsage]) -> None:
    """Enter calls that were made before the run was opened into its usage log."""
    if entries := list(calls):
        usage = UsageLog(locate_usage_log(run))
        for entry in entries:
            usage.write(entry)
        usage.close()


def open_budget(context: RunContext) -> Budget:
    """The usage log of a run, with the caps of its configuration: one for all that a process does in a session."""
    llm, path, clock = context.config.llm, locate_usage_log(context.run), find_clock(context.run)
    session = clock or SessionClock(time.time(), time.monotonic())

    def open_log() -> Budget:
        return Budget(llm.budget, PriceTable(llm.prices), path, session, session.began)

    return context.resources.keep("usage", (path.resolve(), llm.budget, llm.prices, clock), open_log)
