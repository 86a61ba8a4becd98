"""Errors of inspecting data."""

from __future__ import annotations

from pipeline.errors import RampforgeError


class InspectError(RampforgeError):
    """The data do not exist, must not be read, or the query is invalid."""


class UnreadableError(InspectError):
    """A file with a valid footer cannot be read."""


class OpeningError(InspectError):
    """The run is still being opened; a later request succeeds."""
