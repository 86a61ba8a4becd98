"""Run under the configured Prefect server; if it is down, run without it and report afterwards.

Guarantees: a server that is down at the start, goes down during the run, or has lost its database does not stop the
work; missed reports stay in the run's folder until they are delivered.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime

import httpx
from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from pydantic import ValidationError
from rich.console import Console

from flows.configuration.run_context import RunContext
from flows.monitoring.prefect_artifacts import publish_run
from flows.prefect_api.ephemeral_server import answers, dismiss_events, name_server, temporary_api
from pipeline.errors import RampforgeError
from pipeline.storage.files import write_atomically
from schemas.record import Frozen

log = logging.getLogger(__name__)


class MissedEnd(Frozen):
    """Session end that a server has missed."""

    server: str
    """URL of the server."""
    at: str
    """Time of the end, ISO 8601 in UTC."""
    fault: str = ""
    """Cause of failure; empty for a successful session."""


def run_with_fallback(context: RunContext, lead: Callable[[], object]) -> None:
    """Call `lead`, which runs the flow, under the configured server if it answers, else under a temporary one.

    Raises the errors of the work itself.
    """
    server = name_server()
    if server is None:
        with temporary_api() as url:
            if _lead_under(url, lead):
                return
        _print_line("Prefect's temporary API is gone: the run continues under another; finished work is kept")
        with temporary_api():
            lead()
        return
    if answers(server):
        _report_missed(context)
        if _lead_under(server, lead):
            return
        _print_line(f"Prefect's server at {server} is gone: the run continues without it; finished work is kept")
    else:
        _print_line(f"Prefect's server at {server} does not answer: the run continues without it")
    _lead_alone(context, server, lead)


def _lead_under(server: str, lead: Callable[[], object]) -> bool:
    """Run the flow; return False when it was interrupted because the server was unavailable for longer than Prefect
    retries.
    """
    try:
        lead()
    except RampforgeError:
        raise
    except Exception as error:
        if not isinstance(error, httpx.HTTPError) and answers(server):
            raise
        log.info("the flow was interrupted by %s: %s", type(error).__name__, error)
        dismiss_events(0)
        return False
    return True


def _lead_alone(context: RunContext, server: str, lead: Callable[[], object]) -> None:
    fault = ""
    try:
        with temporary_api():
            lead()
    except Exception as error:
        fault = str(error)
        raise
    finally:
        missed = MissedEnd(server=server, at=datetime.now(UTC).isoformat(timespec="seconds"), fault=fault)
        path = context.run.root / "logs" / "unreported.json"
        if path.parent.parent.exists():
            write_atomically(path, missed.model_dump_json().encode())
            if answers(server):
                _report_missed(context)
            else:
                _print_line(
                    f"{server} gets the report when the run is started again: `rampforge resume {context.run.location}`"
                )


def _report_missed(context: RunContext) -> None:
    """Send the server the reports of this run that it has missed."""
    path = context.run.root / "logs" / "unreported.json"
    try:
        missed = MissedEnd.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return
    if missed.server != name_server():
        return

    @flow(name="rampforge", flow_run_name=context.run.name, persist_result=False)
    def report_late() -> State[None]:
        publish_run(context)
        if missed.fault:
            return Failed(message=f"ended at {missed.at}, while this server was unavailable: {missed.fault}")
        return Completed(message=f"ended at {missed.at}, while this server was unavailable")

    try:
        report_late(return_state=True)
    except Exception as error:  # whatever Prefect raises: the report is kept for the next time
        log.info("Prefect rejected the missed report: %s: %s", type(error).__name__, error)
        return
    path.unlink(missing_ok=True)


def _print_line(line: str) -> None:
    Console(stderr=True).print(line, highlight=False, markup=False, soft_wrap=True)
