"""HTTP status errors: their text, Retry-After, and whether a retry may help.

Guarantees: the text is short, on one line and without anything like a key.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

UNPAID = re.compile(
    r"insufficient[_ ](quota|balance|credits|funds)|billing|arrearage|exceeded your current quota", re.IGNORECASE
)
KEY_LIKE = re.compile(r"\b(sk|key|bearer)[-_ ][\w*.-]{6,}", re.IGNORECASE)
TRANSIENT_STATUSES = (408, 409, 425)
DETAIL_CHARS, MAX_BYTES = 200, 4000
MAX_WAIT = 86_400.0
RETRY_HEADERS = (("retry-after-ms", 1000.0), ("retry-after", 1.0), ("llm_provider-retry-after", 1.0))
"""Headers with a wait, and their units per second; LiteLLM passes on its provider's under the last name."""


class HttpStatusError(Exception):
    """An answer with an error status."""

    def __init__(self, status: int, content: bytes, headers: Mapping[str, str]) -> None:
        self.status = status
        self.text = read_text(content)
        """Up to `MAX_BYTES` of the text, where causes are searched for."""
        self.detail = self.text[:DETAIL_CHARS]
        """The text as it is shown."""
        self.retry_after = read_retry_after(headers)
        self.location = read_location(headers)
        """Target of a redirect, without user, password and query; empty for none."""
        super().__init__(f"HTTP {status}: {self.detail}")


class ThrottledError(HttpStatusError):
    """429."""


class UnavailableError(HttpStatusError):
    """5xx, and transient statuses below."""


class RefusalError(HttpStatusError):
    """Any other status: a retry gets the same answer."""


def make_status_error(status: int, content: bytes, headers: Mapping[str, str]) -> HttpStatusError:
    """The error of a status."""
    if status == 429:
        return ThrottledError(status, content, headers)
    kind = UnavailableError if status >= 500 or status in TRANSIENT_STATUSES else RefusalError
    return kind(status, content, headers)


def read_text(content: bytes) -> str:
    """The text of an answer, on one line, and without anything like a key."""
    return KEY_LIKE.sub("(key)", " ".join(content[:MAX_BYTES].decode("utf-8", "replace").split()))


def read_detail(content: bytes) -> str:
    """The same, short."""
    return read_text(content)[:DETAIL_CHARS]


def read_location(headers: Mapping[str, str]) -> str:
    """Target of a redirect, without parts that may be secret."""
    try:
        parts = urlsplit(headers.get("location", "")[:MAX_BYTES])
    except ValueError:
        return ""
    return read_detail(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl().encode())


def read_retry_after(headers: Mapping[str, str]) -> float:
    """Seconds to wait by Retry-After, up to `MAX_WAIT`; 0 without one."""
    for header, scale in RETRY_HEADERS:
        if value := headers.get(header):
            try:
                seconds = float(value) / scale
            except ValueError:
                seconds = _read_date(value)
            if seconds > 0:
                return min(seconds, MAX_WAIT)
    return 0.0


def _read_date(value: str) -> float:
    try:
        return parsedate_to_datetime(value[:100]).timestamp() - time.time()
    except (ValueError, OverflowError):
        return 0.0
