"""Simulation-tuning data: training examples for a language model that simulates the search engine (ZeroSearch, arXiv
2505.04588, section 3.2).
"""

from __future__ import annotations

from typing import ClassVar

from schemas.exports import Split
from schemas.record import Frozen, Record
from schemas.trajectories import PromptUse, Usefulness


class SimulationMessage(Frozen):
    """Message in the form that trainers accept."""

    role: str
    """user or assistant."""
    content: str
    """Text of the message."""


class SimulationExample(Record):
    """Query with its label, and the documents that were returned for it."""

    dataset: ClassVar[str] = "simulation"
    id_field: ClassVar[str] = "example_id"

    example_id: str
    """Hash of prompt and completion."""
    split: Split
    """Train or validation, by page."""
    usefulness: Usefulness
    """Useful: the trajectory was accepted and a document holds an answer. Noisy: no document does."""
    lang: str
    """Language code."""
    prompt: tuple[SimulationMessage, ...]
    """Query with the label word: the prompt of the tuned simulator."""
    completion: tuple[SimulationMessage, ...]
    """Documents, in the form that the tuned simulator should write."""
    query: str
    """Query as sent."""
    passage_ids: tuple[str, ...]
    """Documents, in order."""
    task_id: str
    """Task of the search."""
    document_id: str
    """Page of the task."""
    trajectory_id: str
    """Trajectory that contains the search."""
    engine: str
    """Fingerprint of the engine that returned the documents."""
    prompts: tuple[PromptUse, ...]
    """Prompt templates used."""
