"""Solver whose planner, rewriter and observer are language models (MaskSearch, arXiv 2505.20285, section 2.2).

It attempts tasks and, as Agent-PE, questions. Guarantees: one call gives one typed reply or an error; a prompt contains
what `TrajectoryProgress` contains and nothing else. An answer counts as read if the passage that it names was shown and
contains its words; any other is from memory: dropped, or, where the configuration allows it, kept without evidence.
(The answer to a question may be in no passage, such as yes or no.)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.agents.episode import run_episode
from pipeline.agents.llm_prompts import DATED, list_prompts, write_observe, write_plan, write_rewrite
from pipeline.agents.roles import MIN_QUERIES, NextStep, Observation, PlannedQuestion, TrajectoryProgress
from pipeline.agents.solving import Provenance, Rollout, TaskAttempt
from pipeline.llm.chat_model import ChatModel
from pipeline.llm.roles import describe_models, name_models
from pipeline.llm.structured_output import Prompt, Sampling, StructuredOutput, TokenUsage
from pipeline.rendering.task_text import draw_date
from pipeline.search.engine import AsyncSearchEngine, FoundPassage
from pipeline.text.normalisation import fold_text, holds_tokens
from prompts.library import load_template
from prompts.replies import OBSERVE, PLAN, REWRITE, AnswerItem, ObserveReply, PlanReply, RewriteReply
from schemas.config import AgentsConfig
from schemas.llm_config import RoleModelConfig
from schemas.renderings import QuestionKind
from schemas.roles import AGENT_ROLES
from schemas.trajectories import MaskAnswer

POLICY = "agents"


class AgentSolver:
    """Solver that runs an episode of `LlmAgents` for each attempt."""

    def __init__(
        self,
        engine: AsyncSearchEngine,
        model: ChatModel,
        config: AgentsConfig,
        k: int,
        models: Mapping[str, RoleModelConfig],
    ) -> None:
        """`models`: the configuration's `llm.roles`, which are part of the ids."""
        self._engine = engine
        self._asker = StructuredOutput(model, Sampling(config.temperature, config.max_tokens, config.parse_retries))
        self._config = config
        self._k = k
        self._models = describe_models(models, AGENT_ROLES)

    def describe(self, attempt: TaskAttempt) -> Provenance:
        """Return the provenance: models of the three roles, templates and settings."""
        config, task = self._config, attempt.task
        names = ("max_turns", "queries_per_turn", "temperature", "max_tokens", "parse_retries")
        settings = {"k": self._k, "models": self._models} | {name: getattr(config, name) for name in names}
        if task.kind is QuestionKind.QA:
            settings["dated"] = config.dated
        else:
            date = self._draw_date(attempt)
            settings |= {"allow_memory": config.allow_memory} | ({"date": date} if date else {})
        sampling = json.dumps(settings, sort_keys=True, ensure_ascii=False)
        prompts = list_prompts(task.lang, config.dated, task.kind, task.repeats)
        return Provenance(POLICY, name_models(self._models), prompts, sampling, self._engine.fingerprint)

    async def solve(self, attempt: TaskAttempt, usage: TokenUsage) -> Rollout:
        """Run steps until the observer answers, the agents give up, or the turns are used up."""
        agents = LlmAgents(self._asker, self._config, self._draw_date(attempt), usage)
        return await run_episode(attempt, agents, self._engine, self._k, self._config.max_turns)

    def _draw_date(self, attempt: TaskAttempt) -> str:
        # The same day for every hide mode: only the search differs between them, and equal prompts are one call.
        return draw_date(attempt.key, attempt.number) if self._config.dated else ""


@dataclass(frozen=True, slots=True)
class LlmAgents:
    """The three roles in one attempt; the chat model selects the model of each. Methods raise UnreadableReplyError and
    ModelError.
    """

    asker: StructuredOutput
    config: AgentsConfig
    date: str
    """Date in the system message; empty for no such message."""
    usage: TokenUsage
    """Counter of the calls."""

    async def plan(self, progress: TrajectoryProgress) -> PlannedQuestion:
        """Choose what to search for next."""
        masks = progress.task.mask_count
        text = write_plan(progress, self.config.max_turns - len(progress.turns))
        prompt = self._prompt("planner", progress, text, mask=masks)
        return await self.asker.ask(prompt, PLAN, lambda reply: take_plan(reply, masks), self.usage)

    async def rewrite(self, progress: TrajectoryProgress, plan: PlannedQuestion) -> tuple[str, ...]:
        """Turn a plan into queries."""
        count = self.config.queries_per_turn
        prompt = self._prompt("rewriter", progress, write_rewrite(progress, plan, count))
        return await self.asker.ask(prompt, REWRITE, lambda reply: take_queries(reply, count), self.usage)

    async def observe(self, progress: TrajectoryProgress, plan: PlannedQuestion) -> Observation:
        """Draw a conclusion from the passages shown; a question may also be answered from memory."""
        masks = progress.task.mask_count
        memory = self.config.allow_memory or progress.task.kind is QuestionKind.QA
        text = write_observe(progress, plan, memory)
        prompt = self._prompt("observer", progress, text, mask=masks, answers=masks)
        return await self.asker.ask(
            prompt, OBSERVE, lambda reply: take_observation(reply, progress, allow_memory=memory), self.usage
        )

    def _prompt(self, role: str, progress: TrajectoryProgress, text: str, **most: int) -> Prompt:
        lang = progress.task.lang
        system = load_template(DATED, lang).fill(date=self.date) if self.date else ""
        return Prompt(role=role, lang=lang, text=text, attempt=progress.attempt, system=system, most=most)


def take_plan(reply: PlanReply, mask_count: int) -> PlannedQuestion:
    """Return the plan of a reply, its mask counted from 0. Raises ValueError for a mask that does not exist."""
    if reply.mask is not None and not 1 <= reply.mask <= mask_count:
        raise ValueError(f"mask {reply.mask} does not exist; the task has {mask_count}")
    return PlannedQuestion(reply.think, None if reply.mask is None else reply.mask - 1, reply.give_up)


def take_queries(reply: RewriteReply, count: int) -> tuple[str, ...]:
    """Return the first `count` different queries of a reply. Raises ValueError for fewer than `MIN_QUERIES`."""
    queries = tuple(dict.fromkeys(query for query in reply.queries if query))
    if len(queries) < MIN_QUERIES:
        raise ValueError(f"{MIN_QUERIES} different queries are needed, not {len(queries)}")
    return queries[:count]


def take_observation(reply: ObserveReply, progress: TrajectoryProgress, *, allow_memory: bool) -> Observation:
    """Return the observation of a reply: earlier answers stay unless the reply replaces or withdraws them.

    The next step is consistent with the answers: a trajectory with an open mask does not end as answered, and a
    complete one does not give up. Raises ValueError for a mask that does not exist or is answered twice.
    """
    count = progress.task.mask_count
    masks = [item.mask for item in reply.answers]
    if len(set(masks)) < len(masks) or not all(1 <= mask <= count for mask in masks):
        raise ValueError(f"one answer each for masks 1 to {count}, not {masks}")
    answers = {mask: MaskAnswer(mask=mask, answer=None, evidence=None) for mask in range(count)}
    answers |= {answer.mask: answer for answer in progress.answers}
    answers |= {item.mask - 1: _take_answer(item, progress.seen, allow_memory) for item in reply.answers}
    step = NextStep(reply.next)
    complete = all(answer.answer for answer in answers.values())
    if step is NextStep.ANSWER and not complete:
        step = NextStep.SEARCH_ON
    elif step is NextStep.GIVE_UP and complete:
        step = NextStep.ANSWER
    return Observation(
        conclusion=reply.conclusion,
        next=step,
        answers=tuple(answers[mask] for mask in range(count)),
        closing=reply.closing or reply.conclusion,
    )


def _take_answer(item: AnswerItem, seen: tuple[FoundPassage, ...], allow_memory: bool) -> MaskAnswer:
    answer = item.answer or None
    evidence = None
    if answer and item.passage is not None and 1 <= item.passage <= len(seen):
        passage = seen[item.passage - 1]
        if _is_read_from(answer, passage):
            evidence = passage.passage_id
    if evidence is None and not allow_memory:
        answer = None
    return MaskAnswer(mask=item.mask - 1, answer=answer, evidence=evidence)


def _is_read_from(answer: str, passage: FoundPassage) -> bool:
    """Return whether the passage contains the answer, or at least all its words ("in 1871, on May 3" for "3 May
    1871").
    """
    folded = fold_text(answer)
    text = fold_text(f"{passage.title} {passage.text}")
    return holds_tokens(text, folded) or (bool(folded) and set(folded.split()) <= set(text.split()))
