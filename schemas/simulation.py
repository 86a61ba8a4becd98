"""Simulation-tuning data: examples from which a language model learns to play the search engine (ZeroSearch,
arXiv 2505.04588, section 3.2).
"""

from __future__ import annotations

from typing import ClassVar

from schemas.exports import Split
from schemas.record import Frozen, Record
from schemas.trajectories import PromptUse, Usefulness


class SimulationMessage(Frozen):
    """One message, as trainers take it."""

    role: str
    """user or assistant."""
    content: str
    """What is said."""


class SimulationExample(Record):
    """One query with its label, and the documents that came back for it."""

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
    """The query with the label word: what the tuned simulator is asked."""
    completion: tuple[SimulationMessage, ...]
    """The documents, in the form that the tuned simulator is to write."""
    query: str
    """The query as it was sent."""
    passage_ids: tuple[str, ...]
    """The documents, in order."""
    task_id: str
    """The task searched for."""
    document_id: str
    """The task's page."""
    trajectory_id: str
    """The trajectory that searched."""
    engine: str
    """Fingerprint of the engine that found the documents."""
    prompts: tuple[PromptUse, ...]
    """The templates that the prompt is made from."""
