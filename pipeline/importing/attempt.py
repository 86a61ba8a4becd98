"""Attempt as a foreign row tells it, before it becomes records: what was asked, done and answered, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.importing.facts import ExportedFacts


@dataclass(frozen=True, slots=True)
class ForeignCall:
    """Call of a tool, and its result."""

    name: str
    """Name of the tool."""
    arguments: Mapping[str, Any]
    """Its arguments."""
    result: str | None
    """Text that the model was shown; None where the row has none."""


@dataclass(frozen=True, slots=True)
class ForeignStep:
    """Thought, and the calls that followed it at once."""

    thought: str
    calls: tuple[ForeignCall, ...]


@dataclass(frozen=True, slots=True)
class Dialogue:
    """Conversation about one question."""

    question: str
    """What the user asked."""
    steps: tuple[ForeignStep, ...]
    """The steps, in order."""
    thought: str
    """The last thought."""
    reply: str
    """The last text of the model; empty where the conversation ends without one."""


@dataclass(frozen=True, slots=True)
class ForeignAttempt:
    """Attempt at a question."""

    question: str
    """The question, without instructions."""
    golds: tuple[str, ...]
    """Right answers: the gold, then other forms of it."""
    policy: str
    """Agent that made it, by the name that the row gives, or else the format."""
    dialogue: Dialogue | None
    """Conversation; None for a row that only asks."""
    facts: ExportedFacts | None = None
    """What an export of rampforge says of the task and the attempt."""
