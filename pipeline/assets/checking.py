"""Verification of cached assets by SHA-256: that recorded when fetched, or that of the catalogue."""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.assets.catalogue import OfficialSource, WheelSource, select_assets
from pipeline.assets.store import MARKER, hash_contents
from pipeline.assets.wheels import hash_tree

UNKNOWN = "no SHA-256 of it was noted when it was fetched"


def find_damage(name: str, cache: Path) -> str | None:
    """The damage of a cached asset; empty without damage, None without a recorded hash.

    Raises AssetError for an unknown name.
    """
    (asset,) = select_assets(name)
    folder = cache / asset.name
    try:
        marker = json.loads((folder / MARKER).read_text("utf-8"))
        source = next(source for source in asset.sources if source.revision == marker["revision"])
        expected = marker.get("sha256")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration):
        return f"{MARKER} cannot be read"
    if isinstance(source, OfficialSource) and source.member is None:
        return next(filter(None, (_compare_file(folder / file.name, file.sha256) for file in source.files)), "")
    if expected is None and isinstance(source, WheelSource) and not source.gguf:
        expected = source.sha256
    if expected is None:
        return None
    return "" if hash_contents(folder, asset.file) == expected else "its SHA-256 is not the one it was fetched with"


def _compare_file(path: Path, pinned: str) -> str:
    """The damage of a file that the catalogue pins."""
    if not path.is_file():
        return f"{path.name} is missing"
    return "" if hash_tree(path) == pinned else f"{path.name} is not the file that the catalogue pins"
