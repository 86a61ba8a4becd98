"""How a run is kept on an object store. No value here can change a row."""

from __future__ import annotations

from pydantic import Field

from schemas.record import Frozen


class StoreConfig(Frozen):
    """How long an object store is waited for, and how often what was paid for is put there."""

    lease: float = Field(default=120.0, ge=2)
    """Seconds without a sign of life after which a run on a store is taken for dead, and another may go on with it."""
    patience: float = Field(default=60.0, ge=0)
    """Seconds that a store which does not answer is asked again."""
    save_every: float = Field(default=30.0, gt=0)
    """Seconds between two savings of finished calls of language models: what a dead machine loses at most."""
