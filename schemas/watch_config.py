"""The `watch` section of the configuration: notifications and metrics of a run. Does not affect rows."""

from __future__ import annotations

from pydantic import Field

from schemas.record import Frozen
from schemas.secrets import VariableName


class WatchConfig(Frozen):
    """Notifications and metrics of a run."""

    webhook: VariableName = "RAMPFORGE_WEBHOOK"
    """NAME of the environment variable that holds a URL: a notification is POSTed there as JSON when a run finishes,
    fails, stops or stalls. If the variable is not set, none is sent."""
    metrics_port: int | None = Field(default=None, ge=1, le=65535)
    """Port of the Prometheus metrics of a run in progress; null for none."""
    metrics_host: str = "127.0.0.1"
    """Address of the Prometheus metrics; 0.0.0.0 for every network of this machine."""
    metrics_file: str | None = None
    """File with the same metrics, for node_exporter's textfile collector; its name ends in .prom."""
    reports_url: str | None = Field(default=None, pattern=r"^https?://\S+$")
    """URL at which the folder of the runs is served, for the links from Prefect's pages to the report."""
