"""Defaults for the settings of Prefect: no ephemeral server of its own, no telemetry, minimal logging.

Must be called before Prefect is imported. Values in the environment take precedence, so that `PREFECT_API_URL` selects
a server and `PREFECT_LOGGING_LEVEL=INFO` enables its log.
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
    """Set the defaults in the environment of this process and its children."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    exempt_loopback(os.environ)  # Prefect's client uses a proxy of the environment even for a server on this machine
    if debug:
        os.environ |= {"PREFECT_LOGGING_LEVEL": "INFO", "PREFECT_LOGGING_INTERNAL_LEVEL": "ERROR"}
    if "PREFECT_API_URL" in os.environ:
        os.environ["PREFECT_LOGGING_TO_API_ENABLED"] = "true"
