"""The context of a run: its folder, its configuration and the folder of the assets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.storage.run_folder import RunFolder
from schemas.config import RunConfig


@dataclass(frozen=True, slots=True)
class RunContext:
    """Where a shard is worked on, and under which configuration."""

    run: RunFolder
    config: RunConfig
    cache: Path
    """Folder of the assets."""
