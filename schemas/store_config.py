"""The `store` section of the configuration: handling of a run on an object store. Does not affect rows."""

from __future__ import annotations

from pydantic import Field

from schemas.record import Frozen


class StoreConfig(Frozen):
    """Leases, retries and backups on an object store."""

    lease: float = Field(default=120.0, ge=2)
    """Seconds without a heartbeat after which a run on a store is considered dead and may be taken over."""
    patience: float = Field(default=60.0, ge=0)
    """Seconds for which requests to an unresponsive store are retried."""
    save_every: float = Field(default=30.0, gt=0)
    """Seconds between backups of finished calls to language models: the maximum loss if the machine fails."""
