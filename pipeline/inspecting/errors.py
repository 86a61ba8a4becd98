"""What can go wrong when somebody looks at data."""

from __future__ import annotations

from pipeline.errors import RampforgeError


class InspectError(RampforgeError):
    """What was asked for is not here, may not be read, or is no query."""


class UnreadableError(InspectError):
    """Something that lies on disk cannot be read, though it looked whole."""


class OpeningError(InspectError):
    """What was asked for is being opened; asked again later, it is there."""
