"""Sizes of the laboratory, each with a preset."""

from __future__ import annotations

from enum import StrEnum


class LabSize(StrEnum):
    """Size of the laboratory."""

    GPU = "gpu"
    """One H100: under 25 minutes."""
    CPU = "cpu"
    """Two cores: under an hour."""
