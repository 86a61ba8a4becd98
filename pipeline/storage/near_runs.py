"""Runs whose names are near to one that does not exist."""

from __future__ import annotations

import difflib
from pathlib import Path

from schemas.locations import is_url

LISTED = 5
OTHERWISE = "name a run folder, such as outputs/demo"


def suggest_runs(location: str) -> str:
    """Return what to do about a location without a run: the runs with near names beside it, or else some of them."""
    path = Path(location)
    try:
        names = [] if is_url(location) else sorted(each.parent.name for each in path.parent.glob("*/run.json"))
    except OSError:
        names = []
    near = difflib.get_close_matches(path.name, names, LISTED) or names[:LISTED]
    return f"there are: {', '.join(str(path.parent / name) for name in near)}" if near else OTHERWISE
