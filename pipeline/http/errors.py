"""Answers of HTTP servers that are no answers: what came, how long to wait, and whether asking again may help.

Promises: what a server said is kept short, on one line and without anything that looks like a key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

UNPAID = re.compile(
    r"insufficient[_ ](quota|balance|credits|funds)|billing|arrearage|exceeded your current quota", re.IGNORECASE
)
KEY_LIKE = re.compile(r"\b(sk|key|bearer)[-_ ][\w*.-]{6,}", re.IGNORECASE)
PASSING_STATUSES = (408, 409, 425)
DETAIL_CHARS, MOST_BYTES = 200, 4000


class HttpStatusError(Exception):
    """A server answered with something other than a reply."""

    def __init__(self, status: int, content: bytes, headers: Mapping[str, str]) -> None:
        self.status = status
        self.detail = read_detail(content)
        self.retry_after = read_retry_after(headers)
        self.location = read_location(headers)
        """Where a redirect leads, without user, password and query; empty for none."""
        super().__init__(f"HTTP {status}: {self.detail}")


class ThrottledError(HttpStatusError):
    """429: slower, please."""


class UnavailableError(HttpStatusError):
    """5xx, and the few below it that pass by themselves."""


class RefusalError(HttpStatusError):
    """Everything else: the same request will be answered in the same way."""


def make_status_error(status: int, content: bytes, headers: Mapping[str, str]) -> HttpStatusError:
    """The error for an answer that is none."""
    if status == 429:
        return ThrottledError(status, content, headers)
    kind = UnavailableError if status >= 500 or status in PASSING_STATUSES else RefusalError
    return kind(status, content, headers)


def read_detail(content: bytes) -> str:
    """What the server said, short, on one line, and with no word that looks like a key."""
    said = " ".join(content[:MOST_BYTES].decode("utf-8", "replace").split())
    return KEY_LIKE.sub("(key)", said)[:DETAIL_CHARS]


def read_location(headers: Mapping[str, str]) -> str:
    """Where a redirect leads, with nothing in it that may be a secret."""
    try:
        parts = urlsplit(headers.get("location", "")[:MOST_BYTES])
    except ValueError:
        return ""
    return read_detail(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl().encode())


def read_retry_after(headers: Mapping[str, str]) -> float:
    """Seconds the server asks to wait; 0 where it says nothing (or a date, which few send)."""
    for header, scale in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers[header]) / scale)
        except (KeyError, ValueError):
            continue
    return 0.0
