"""Import of trajectories that others made: the formats of their rows."""

from __future__ import annotations

from enum import StrEnum


class ImportFormat(StrEnum):
    """Formats of rows."""

    ATIF = "atif"
    """Harbor's Agent Trajectory Interchange Format, versions 1.0 to 1.8."""
    OPENRESEARCHER = "openresearcher"
    """OpenResearcher (arXiv 2603.20278): `question`, `answer` and `messages`, as Harmony or OpenAI has them."""
    OPENSEEKER = "openseeker"
    """OpenSeeker (arXiv 2603.15594): `question`, `answer` and `trajectory`, with calls between tags."""
    SEARCH_R1 = "search-r1"
    """Search-R1 (arXiv 2503.09516): `question`, `golden_answers`, and the response with its tags."""
