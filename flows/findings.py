"""What `rampforge doctor` finds: one line a thing looked at, and how to mend it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from pipeline.errors import RampforgeError


class State(StrEnum):
    """How it stands."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    subject: str
    state: State
    detail: str
    """What was found."""
    fix: str = ""
    """The next command, or what to change."""


def look_at(subject: str, look: Callable[[], str]) -> Finding:
    """Run a check: what it returns is the detail, what it raises is the failure."""
    try:
        return Finding(subject, State.OK, look())
    except RampforgeError as error:
        return Finding(subject, State.FAIL, error.what, error.fix)
    except Exception as error:  # whatever it is, the other checks go on
        return Finding(subject, State.FAIL, f"{type(error).__name__}: {error}", "`rampforge --debug run` shows where")
