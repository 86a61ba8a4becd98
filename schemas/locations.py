"""Locations: paths on this machine and URLs of object stores. Operates on text only; opens nothing."""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import parse_qsl, urlsplit

URL = re.compile(r"^[a-z][a-z0-9+.-]+://", re.IGNORECASE)
HERE = ("file://", "local://")
"""URLs that are paths on this machine."""
SIGNED = re.compile(
    r"sig(nature)?$|token|secret|credential|password|passwd|authorization|api.?key|access.?key|^(key|auth|pwd|pass)$",
    re.IGNORECASE,
)
ANYWHERE = re.compile(r"[a-z][a-z0-9+.-]*://[^\s\"'<>]+", re.IGNORECASE)
WITHOUT_SCHEME = re.compile(r"^[^\s/@:]+:[^\s/@]+@[\w.-]+(:\d+)?(/\S*)?$")
"""user:password@host, a common notation for proxies."""
TOKEN_PATH = re.compile(r"^/t/[^/]{8,}(/|$)")
"""Path in which `rampforge search serve` accepts the token of clients that can only be given a URL."""


def is_url(location: str) -> bool:
    """Return whether a location is the URL of a store rather than a path on this machine."""
    return URL.match(location) is not None and not location.lower().startswith(HERE)


def is_loopback(url: str) -> bool:
    """Return whether a URL refers to this machine."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def find_secret(text: str) -> str | None:
    """Describe the secret in a URL, or in the URLs of a text, without repeating it; None when there is none."""
    if WITHOUT_SCHEME.match(text):
        return "a user name or password"
    return next(filter(None, map(_find_in_url, ANYWHERE.findall(text))), None)


def _find_in_url(url: str) -> str | None:
    try:
        parts = urlsplit(url)
    except ValueError:  # half an IPv6 address and the like
        return "a user name or password" if "@" in url else None
    if "@" in parts.netloc and parts.netloc.rpartition("@")[0].strip(":"):
        return "a user name or password"
    if TOKEN_PATH.match(parts.path):
        return "a token in its path"
    pairs = [*parse_qsl(parts.query, keep_blank_values=True), *parse_qsl(parts.fragment, keep_blank_values=True)]
    names = [name for name, _ in pairs if SIGNED.search(name)]
    return f"a secret in its query ({', '.join(names)})" if names else None
