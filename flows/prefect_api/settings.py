"""How Prefect behaves when the user has not said otherwise: no server of its own kind, no telemetry, no chatter.

Must be called before Prefect is imported. Every value is a default: what stands in the environment wins, so
`PREFECT_API_URL` leads to a server and `PREFECT_LOGGING_LEVEL=INFO` brings its log back.
"""

from __future__ import annotations

import os

from pipeline.http.proxies import exempt_loopback

DEFAULTS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
    # A server that is gone is found out in a quarter of a minute, one whose database is locked in a minute and a half:
    # then the run goes on without it.
    "PREFECT_CLIENT_MAX_RETRIES": "3",
    "PREFECT_API_REQUEST_TIMEOUT": "20",
    # A machine busy with something else may take a while to bring the ephemeral API up.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
}


def settle_prefect(debug: bool) -> None:
    """Put the defaults into the environment of this process and of those it starts."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    exempt_loopback(os.environ)  # Prefect's client takes a proxy of the environment even to a server on this machine
    if debug:
        os.environ |= {"PREFECT_LOGGING_LEVEL": "INFO", "PREFECT_LOGGING_INTERNAL_LEVEL": "ERROR"}
    if "PREFECT_API_URL" in os.environ:
        os.environ["PREFECT_LOGGING_TO_API_ENABLED"] = "true"
