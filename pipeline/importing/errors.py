"""Error of an imported row that cannot be read as an attempt."""

from __future__ import annotations


class RowError(ValueError):
    """A row that cannot be read as an attempt; `reason` is a code."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail
