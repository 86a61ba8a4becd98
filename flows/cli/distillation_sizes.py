"""What the laboratory may be cut to: a preset each."""

from __future__ import annotations

from enum import StrEnum


class LabSize(StrEnum):
    """Its sizes."""

    GPU = "gpu"
    """One H100: under 25 minutes."""
    CPU = "cpu"
    """Two cores: under an hour."""
