"""Solver by the extractive agents, of tasks and questions: every answer is a stretch of a passage that was shown.

A question becomes a sentence with a gap in place of its question word.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace

from pipeline.agents.episode import run_episode
from pipeline.agents.extractive.agents import ExtractiveAgents
from pipeline.agents.extractive.phrasing import TEMPLATES
from pipeline.agents.solving import Provenance, Rollout, TaskAttempt
from pipeline.llm.structured_output import TokenUsage
from pipeline.rendering.task_text import use_templates
from pipeline.search.engine import AsyncSearchEngine
from schemas.config import AgentsConfig
from schemas.renderings import QuestionKind
from schemas.tasks import GAP, MASK

POLICY = "extractive"
MODEL = "extractive-3"
_ASKING = {
    "en": re.compile(
        r"\b(?:who|whom|whose|what|which|where|when|how (?:many|much|old|long|far|often|tall|high)|how)\b"
        r"(?:\s+(?:is|was|are|were|did|does|do|has|had|have)\b)?",
        re.IGNORECASE,
    ),
    "zh": re.compile(r"谁|什么|什麼|甚麼|哪[里裡儿兒个個位年些]?|多少|几|幾|为何|為何|何[时時地人种種]?"),
}
_END = re.compile(r"[?？。.\s]+$")


class ExtractiveSolver:
    """Solver that runs an episode for each attempt; attempts of one task differ only in the wording of thoughts."""

    def __init__(self, engine: AsyncSearchEngine, agents: ExtractiveAgents, config: AgentsConfig, k: int) -> None:
        self._engine = engine
        self._agents = agents
        self._max_turns = config.max_turns
        self._k = k
        settings: dict[str, int | str] = {
            "k": k,
            "max_turns": config.max_turns,
            "queries_per_turn": config.queries_per_turn,
        }
        settings |= {"rerank": agents.model} if agents.model else {}
        self._sampling = json.dumps(settings, sort_keys=True)

    def describe(self, attempt: TaskAttempt) -> Provenance:
        """Return the provenance: no language model, and the templates of the thoughts."""
        prompts = use_templates(TEMPLATES, attempt.task.lang)
        return Provenance(POLICY, MODEL, prompts, self._sampling, self._engine.fingerprint, cold_start=True)

    async def solve(self, attempt: TaskAttempt, usage: TokenUsage) -> Rollout:
        """Run steps until every mask has an answer, or the turns are used up."""
        task = attempt.task
        if task.kind is QuestionKind.QA:
            gapped = replace(task, masked_text=put_gap(task.masked_text, task.lang), kind=QuestionKind.RAMP)
            attempt = replace(attempt, task=gapped, number=0)
        return await run_episode(attempt, self._agents, self._engine, self._k, self._max_turns)


def put_gap(question: str, lang: str) -> str:
    """Return the question with `MASK` in place of its first question word (and an auxiliary after it), else at its
    end.
    """
    plain = GAP.sub("(mask)", question)
    code = lang.split("-")[0]
    stop = "。" if code == "zh" else "."
    found = _ASKING.get(code, _ASKING["en"]).search(plain)
    if found is None:
        return f"{plain} {MASK}"
    text = plain[: found.start()] + MASK + plain[found.end() :]
    return _END.sub("", text) + stop
