"""Where things lie: a path on this machine, or the URL of an object store. Text only; nothing here is opened."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

URL = re.compile(r"^[a-z][a-z0-9+.-]+://", re.IGNORECASE)
HERE = ("file://", "local://")
"""URLs that are paths of this machine."""
SIGNED = re.compile(r"sig(nature)?$|token|secret|credential|password|api.?key|access.?key", re.IGNORECASE)


def is_url(location: str) -> bool:
    """Whether a location is the URL of a store, not a path of this machine."""
    return URL.match(location) is not None and not location.lower().startswith(HERE)


def find_secret(location: str) -> str | None:
    """What in a URL is a secret, in words that do not repeat it; None when there is none."""
    if not is_url(location):
        return None
    parts = urlsplit(location)
    if "@" in parts.netloc and parts.netloc.partition("@")[0].strip(":"):
        return "a user or a password"
    names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True) if SIGNED.search(name)]
    return f"a secret in its query ({', '.join(names)})" if names else None
