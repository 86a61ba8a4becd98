"""Cache folder of the assets."""

from __future__ import annotations

from pathlib import Path

from pipeline.assets.store import locate_cache


def cache_folder() -> Path:
    """Return the cache folder: `$RAMPFORGE_CACHE`, or the cache folder of the user."""
    return locate_cache() / "assets"
