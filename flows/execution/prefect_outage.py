"""Leads a run under the Prefect server that is named, or without it when it is away, and tells it later.

Promises: a server that is down at the start, or goes down in mid-run, or has lost its database, does not stop the work;
what it missed is in the run's folder until it has been told.
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
    """What a server has missed."""

    server: str
    """The server."""
    at: str
    """When the session ended, ISO 8601 in UTC."""
    fault: str = ""
    """Why it failed; empty for a session that did what it was to do."""


def run_with_fallback(context: RunContext, lead: Callable[[], object]) -> None:
    """Call `lead`, which runs the flow, under the server that is named if it answers, else under one of our own.

    Raises whatever our own work raises.
    """
    server = name_server()
    if server is None:
        with temporary_api() as url:
            if _lead_under(url, lead):
                return
        _say("Prefect's temporary API is gone: the run goes on under another; what is finished is kept")
        with temporary_api():
            lead()
        return
    if answers(server):
        _report_missed(context)
        if _lead_under(server, lead):
            return
        _say(f"Prefect's server at {server} is gone: the run goes on without it; what is finished is kept")
    else:
        _say(f"Prefect's server at {server} does not answer: the run is led without it")
    _lead_alone(context, server, lead)


def _lead_under(server: str, lead: Callable[[], object]) -> bool:
    """Lead the run; False when it broke off because the server is away, or was for longer than Prefect asks again."""
    try:
        lead()
    except RampforgeError:
        raise
    except Exception as error:
        if not isinstance(error, httpx.HTTPError) and answers(server):
            raise
        log.info("the flow broke off with %s: %s", type(error).__name__, error)
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
                _say(f"{server} is told when the run is next started: `rampforge resume {context.run.location}`")


def _report_missed(context: RunContext) -> None:
    """Tell the server what it has missed of this run, if it has missed anything."""
    path = context.run.root / "logs" / "unreported.json"
    try:
        missed = MissedEnd.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return
    if missed.server != name_server():
        return

    @flow(name="rampforge", flow_run_name=context.run.name, persist_result=False)
    def told_late() -> State[None]:
        publish_run(context)
        if missed.fault:
            return Failed(message=f"ended at {missed.at}, while this server was away: {missed.fault}")
        return Completed(message=f"ended at {missed.at}, while this server was away")

    try:
        told_late(return_state=True)
    except Exception as error:  # whatever Prefect raises: it stays for the next time
        log.info("Prefect did not take what it had missed: %s: %s", type(error).__name__, error)
        return
    path.unlink(missing_ok=True)


def _say(line: str) -> None:
    Console(stderr=True).print(line, highlight=False, markup=False, soft_wrap=True)
