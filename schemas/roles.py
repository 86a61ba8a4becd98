"""Roles: what a language model is asked for. Each is configured under `llm.roles` by its value, or by `default`."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """A part that a language model plays in a stage."""

    PLANNER = "planner"
    """Chooses the mask to search for next (MaskSearch, arXiv 2505.20285, section 2.2)."""
    REWRITER = "rewriter"
    """Turns the plan into queries."""
    OBSERVER = "observer"
    """Concludes from the passages that were found."""
    EXTRACTOR = "extractor"
    """Proposes spans to mask."""
    SCORER = "scorer"
    """Gives the likelihood of a span's tokens."""
    JUDGE = "judge"
    """Compares an answer with the gold answer."""
    SIMULATOR = "simulator"
    """Writes the documents of a simulated search engine."""
    ANSWERER = "answerer"
    """Answers a question from retrieved passages."""
    POLICY = "policy"
    """The trained model that searches by itself."""
    CLOSED_BOOK = "closed_book"
    """The trained model that answers without searching."""
    EMBEDDER = "embedder"
    """Turns text into vectors."""


AGENT_ROLES = (Role.PLANNER, Role.REWRITER, Role.OBSERVER)
"""The roles of the multi-agent system."""
