"""The `watch` section of the configuration: who is told how a run goes. No key of it can change a row."""

from __future__ import annotations

from pydantic import Field

from schemas.record import Frozen
from schemas.secrets import VariableName


class WatchConfig(Frozen):
    """Who is told how a run goes."""

    webhook: VariableName = "RAMPFORGE_WEBHOOK"
    """NAME of the environment variable that holds a URL: a run that finished, failed, stopped or stalled is POSTed
    there as JSON. Where the variable is not set nobody is told."""
    metrics_port: int | None = Field(default=None, ge=1, le=65535)
    """Port where a run under way answers Prometheus; null for none."""
    metrics_host: str = "127.0.0.1"
    """Address it answers at; 0.0.0.0 for every network this machine is in."""
    metrics_file: str | None = None
    """File that is kept up with the same figures, for node_exporter's textfile collector; its name ends in .prom."""
    reports_url: str | None = Field(default=None, pattern=r"^https?://\S+$")
    """Address under which the folder of the runs is served: Prefect's pages link to the report there."""
