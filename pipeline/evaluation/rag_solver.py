"""RAG-PE: the question is the query, once; a prompted model answers from what came back (MaskSearch, section 3.1)."""

from __future__ import annotations

import json
from collections.abc import Mapping

from pipeline.agents.episode import SHOWABLE
from pipeline.agents.llm_prompts import write_passages
from pipeline.evaluation.solving import (
    ANSWERED,
    GAVE_UP,
    SEARCH_FAILED,
    AnswerAttempt,
    Manner,
    OpenQuestion,
    search_once,
)
from pipeline.llm.chat_model import ChatModel
from pipeline.llm.roles import describe_models, name_models
from pipeline.llm.structured_output import Prompt, Sampling, StructuredOutput, TokenUsage
from pipeline.rendering.task_text import use_templates
from pipeline.search.engine import AsyncSearchEngine
from prompts.library import load_template
from prompts.replies import ANSWER, AnswerReply
from schemas.config import AgentsConfig
from schemas.llm_config import RoleModelConfig

ROLE = "answerer"
TEMPLATES = (ANSWER.template, "shown_passage", "agent_words", "ask_again")


class RagSolver:
    """Retrieves once and asks once."""

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
        self._asker = StructuredOutput(model, Sampling(config.temperature, config.max_tokens, config.parse_retries))
        self._k = k
        self._config = config
        self._models = describe_models(models, (ROLE,))

    def describe(self, lang: str) -> Manner:
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
        return Manner(name_models(self._models), use_templates(TEMPLATES, lang), sampling)

    async def solve(self, question: OpenQuestion, run: int, tally: TokenUsage) -> AnswerAttempt:
        """Search with the question, show what came back, take the answer."""
        call = await search_once(self._engine, question.text, self._k)
        if call.status not in SHOWABLE:
            return AnswerAttempt(None, SEARCH_FAILED, 1, 1)
        ids = [hit.passage_id for hit in call.hits]
        passages = write_passages(await self._engine.read(ids), question.lang)
        text = load_template(ANSWER.template, question.lang).fill(passages=passages, text=question.text)
        answer = await self._asker.ask(Prompt(ROLE, question.lang, text, run), ANSWER, _take_answer, tally)
        return AnswerAttempt(answer, ANSWERED if answer else GAVE_UP, 1, 1, tuple(dict.fromkeys(ids)))


def _take_answer(reply: AnswerReply) -> str | None:
    return reply.answer or None
