"""Prompts of a simulated search engine (ZeroSearch, arXiv 2505.04588, section 3).

Guarantees: a prompt depends on its arguments alone, and inserted texts are inert; it contains gold only where answers
are given; the prompt of a tuned simulator has the form of its training data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.rendering.task_text import number_masks, use_templates
from prompts.library import Block, load_template, load_words
from schemas.search_config import SimulationMode
from schemas.trajectories import PromptUse, Usefulness

TEMPLATES = {
    SimulationMode.PROMPTED: ("simulate_search", "simulate_facts", "simulate_words"),
    SimulationMode.TUNED: ("simulate_tuned", "simulate_facts", "simulate_words"),
}


@dataclass(frozen=True, slots=True)
class SimulationFacts:
    """Facts for an informed simulator."""

    question: str
    """The masked text."""
    answers: tuple[str, ...]
    """The gold answers, in document order."""


def write_prompt(
    mode: SimulationMode, lang: str, query: str, count: int, usefulness: Usefulness, facts: SimulationFacts | None
) -> str:
    """The user message that requests documents. `facts`: None for a simulator that gets the query alone."""
    words = load_words("simulate_words", lang)
    common: dict[str, str | Block] = {"query": query, "count": str(count), "facts": _write_facts(lang, facts)}
    if mode is SimulationMode.TUNED:
        return load_template("simulate_tuned", lang).fill(label=words[f"label_{usefulness}"], **common)
    kind = words[f"{usefulness}_informed" if facts else usefulness]
    return load_template("simulate_search", lang).fill(kind=kind, **common)


def list_simulation_prompts(mode: SimulationMode, lang: str) -> tuple[PromptUse, ...]:
    """The templates in use."""
    return use_templates(TEMPLATES[mode], lang)


def _write_facts(lang: str, facts: SimulationFacts | None) -> Block:
    if facts is None:
        return Block("")
    answers: Sequence[str] = [f"[mask {number}] {answer}" for number, answer in enumerate(facts.answers, start=1)]
    template = load_template("simulate_facts", lang)
    return Block(template.fill(question=number_masks(facts.question), answers="\n".join(answers)) + "\n")
