"""Findings of a configuration check: one line per item, with its fix."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pipeline.assets.catalogue import select_assets
from pipeline.errors import ConfigError, RampforgeError

log = logging.getLogger(__name__)

GET_ASSET = "rampforge assets get "
BUNDLE = "demo"
FOLLOWS = "see the endpoints"
"""Fix of a finding that follows from others."""


class State(StrEnum):
    """Result of a check."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """Finding about one item."""

    subject: str
    state: State
    detail: str
    """Details of the finding."""
    fix: str = ""
    """Next command, or the change to make."""


def look_at(subject: str, look: Callable[[], str]) -> Finding:
    """Run a check: its return value is the detail, its exception the failure."""
    try:
        return Finding(subject, State.OK, look())
    except RampforgeError as error:
        return Finding(subject, State.FAIL, error.what, error.fix)
    except Exception as error:  # whatever it is, the other checks continue
        return Finding(subject, State.FAIL, f"{type(error).__name__}: {error}", "`rampforge --debug run` shows where")


def require(findings: Iterable[Finding], kind: type[RampforgeError] = ConfigError) -> None:
    """Raise an error of a kind that names every failure with all fixes; log the warnings."""
    seen = list(findings)
    failed = [finding for finding in seen if finding.state is State.FAIL]
    failed = [finding for finding in failed if finding.fix != FOLLOWS] or failed
    if not failed:
        for finding in seen:
            if finding.state is State.WARN:
                log.warning("%s: %s%s", finding.subject, finding.detail, f" ({finding.fix})" if finding.fix else "")
        return
    if len(failed) == 1:
        subject, detail = failed[0].subject, failed[0].detail
        raise kind(detail if detail.startswith(subject) else f"{subject}: {detail}", failed[0].fix)
    lines = [f"  {one.subject}: {one.detail}" + (f"\n    -> {one.fix}" if one.fix else "") for one in failed]
    raise kind("\n".join([f"{len(failed)} things are missing or wrong:", *lines]), join_fixes(failed))


def join_fixes(failed: Sequence[Finding]) -> str:
    """Return the fix of everything, where that consists of commands; otherwise where to look."""
    fixes = list(dict.fromkeys(finding.fix for finding in failed if finding.fix))
    assets = [
        fix.removeprefix(GET_ASSET) for fix in fixes if fix.startswith(GET_ASSET) and " " not in fix[len(GET_ASSET) :]
    ]
    if len(assets) > 1 and set(assets) <= {asset.name for asset in select_assets(BUNDLE)}:
        gets = [f"{GET_ASSET}{BUNDLE}"]
    else:
        gets = [GET_ASSET + asset for asset in assets]
    others = len(fixes) > len(assets)
    return "; ".join(gets) + ("; then fix the others: " * bool(gets) + "`rampforge doctor` shows them again") * others
