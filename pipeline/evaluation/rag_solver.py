"""RAG-PE: one search with the question; a prompted model answers from the results (MaskSearch, section 3.1)."""

from __future__ import annotations

import json
from collections.abc import Mapping

from pipeline.agents.llm_prompts import write_passages
from pipeline.agents.solving import Provenance, Rollout, TaskAttempt, search_step, show
from pipeline.llm.chat_model import ChatModel
from pipeline.llm.roles import describe_models, name_models
from pipeline.llm.structured_output import Prompt, Sampling, StructuredOutput, TokenUsage
from pipeline.rendering.task_text import use_templates
from pipeline.search.engine import AsyncSearchEngine
from prompts.library import load_template
from prompts.replies import ANSWER
from schemas.config import AgentsConfig
from schemas.llm_config import RoleModelConfig
from schemas.roles import Role
from schemas.trajectories import MaskAnswer, StopReason, Turn

POLICY = "rag"
TEMPLATES = (ANSWER.template, "shown_passage", "agent_words", "ask_again")


class RagSolver:
    """Solver that searches once and calls the model once."""

    def __init__(
        self,
        engine: AsyncSearchEngine,
        model: ChatModel,
        config: AgentsConfig,
        k: int,
        models: Mapping[str, RoleModelConfig],
    ) -> None:
        """`models`: the configuration's `llm.roles`."""
        self._engine = engine
        self._output = StructuredOutput(model, Sampling(config.temperature, config.max_tokens, config.parse_retries))
        self._k = k
        self._config = config
        self._models = describe_models(models, (Role.ANSWERER,))

    def describe(self, attempt: TaskAttempt) -> Provenance:
        """The model of the role `answerer`."""
        config = self._config
        settings = {
            "k": self._k,
            "temperature": config.temperature,
            "max_tokens": config.max_tokens,
            "parse_retries": config.parse_retries,
            "models": self._models,
        }
        sampling = json.dumps(settings, sort_keys=True, ensure_ascii=False)
        prompts = use_templates(TEMPLATES, attempt.task.lang)
        return Provenance(POLICY, name_models(self._models), prompts, sampling, self._engine.fingerprint)

    async def solve(self, attempt: TaskAttempt, usage: TokenUsage) -> Rollout:
        """Search with the question, show the results, return the answer."""
        question, lang = attempt.task.masked_text, attempt.task.lang
        calls, passages = await search_step(self._engine, attempt.requests([" ".join(question.split())]), self._k)
        shown = tuple(map(show, passages or ()))
        turns = (Turn(think="", calls=calls, shown=shown, conclusion=""),)
        if passages is None:
            return Rollout(StopReason.SEARCH_FAILED, turns, (), "", failed=calls)
        text = load_template(ANSWER.template, lang).fill(passages=write_passages(passages, lang), text=question)
        answer = await self._output.ask(
            Prompt(Role.ANSWERER, lang, text, attempt.number), ANSWER, lambda reply: reply.answer or None, usage
        )
        stop = StopReason.ANSWERED if answer else StopReason.GAVE_UP
        return Rollout(stop, turns, (MaskAnswer(mask=0, answer=answer, evidence=None),), "")
