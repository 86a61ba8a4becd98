"""The folder of the assets."""

from __future__ import annotations

from pathlib import Path

from pipeline.assets.store import locate_cache


def cache_folder() -> Path:
    """Where assets are kept: `$RAMPFORGE_CACHE`, or the user's cache folder."""
    return locate_cache() / "assets"
