"""What an answer that is an error says: how long to wait."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from pipeline.http.errors import read_retry_after


def test_a_wait_is_read_from_any_header_and_form() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    for headers, seconds in [
        ({"retry-after": later}, 100),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"llm_provider-retry-after": "4"}, 4),
        ({"retry-after": "soon"}, 0),
        ({"retry-after": "nan"}, 0),
        ({"retry-after": "-5"}, 0),
        ({"retry-after": "1e300"}, 86_400),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
    ]:
        assert read_retry_after(headers) == pytest.approx(seconds, abs=2)
