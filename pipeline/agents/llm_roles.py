"""Planner, rewriter and observer played by a language model (MaskSearch, arXiv 2505.20285, section 2.2).

Promises: one ask gives one typed reply or an error; a role is told what `TrajectoryProgress` holds and nothing else.
An answer counts as read when the passage it names was shown and holds its words; any other is from memory: dropped,
or, where the configuration allows it, kept without evidence.
"""

from __future__ import annotations

from pipeline.agents.llm_prompts import DATED, write_observe, write_plan, write_rewrite
from pipeline.agents.roles import MIN_QUERIES, NextStep, Observation, PlannedQuestion, Queries, TrajectoryProgress
from pipeline.llm.chat_model import ChatModel
from pipeline.llm.structured_output import Prompt, Sampling, StructuredOutput, TokenUsage
from pipeline.search.engine import FoundPassage
from pipeline.text.normalisation import fold_text, holds_tokens
from prompts.library import load_template
from prompts.replies import OBSERVE, PLAN, REWRITE, AnswerItem, ObserveReply, PlanReply, RewriteReply
from schemas.config import AgentsConfig
from schemas.trajectories import MaskAnswer

ROLES = ("planner", "rewriter", "observer")


class LlmRoles:
    """The three roles, on one chat model; which model answers for which role is the chat model's matter."""

    policy = "agents"

    def __init__(self, model: ChatModel, config: AgentsConfig) -> None:
        self._asker = StructuredOutput(model, Sampling(config.temperature, config.max_tokens, config.parse_retries))
        self._config = config

    async def plan(self, progress: TrajectoryProgress, date: str, tally: TokenUsage) -> PlannedQuestion:
        """Say what to seek next. Raises UnreadableReplyError and ModelError, as do the others."""
        left = self._config.max_turns - len(progress.turns)
        prompt = _prompt("planner", progress, date, write_plan(progress, left), mask=progress.task.mask_count)
        return await self._asker.ask(prompt, PLAN, lambda reply: take_plan(reply, progress.task.mask_count), tally)

    async def rewrite(
        self, progress: TrajectoryProgress, plan: PlannedQuestion, date: str, tally: TokenUsage
    ) -> Queries:
        """Turn a plan into queries."""
        count = self._config.queries_per_turn
        prompt = _prompt("rewriter", progress, date, write_rewrite(progress, plan, count))
        return await self._asker.ask(prompt, REWRITE, lambda reply: take_queries(reply, count), tally)

    async def observe(
        self, progress: TrajectoryProgress, plan: PlannedQuestion, date: str, tally: TokenUsage
    ) -> Observation:
        """Conclude from what was shown."""
        memory = self._config.allow_memory
        masks = progress.task.mask_count
        prompt = _prompt("observer", progress, date, write_observe(progress, plan, memory), mask=masks, answers=masks)
        return await self._asker.ask(
            prompt, OBSERVE, lambda reply: take_observation(reply, progress, allow_memory=memory), tally
        )


def _prompt(role: str, progress: TrajectoryProgress, date: str, text: str, **most: int) -> Prompt:
    lang = progress.task.lang
    system = load_template(DATED, lang).fill(date=date) if date else ""
    return Prompt(role=role, lang=lang, text=text, attempt=progress.attempt, system=system, most=most)


def take_plan(reply: PlanReply, mask_count: int) -> PlannedQuestion:
    """The plan of a reply, its mask counted from 0. Raises ValueError for a mask that is not there."""
    if reply.mask is not None and not 1 <= reply.mask <= mask_count:
        raise ValueError(f"there is no mask {reply.mask}, only {mask_count}")
    return PlannedQuestion(reply.think, None if reply.mask is None else reply.mask - 1, reply.give_up)


def take_queries(reply: RewriteReply, count: int) -> Queries:
    """The first `count` different queries of a reply. Raises ValueError for fewer than `MIN_QUERIES`."""
    queries = tuple(dict.fromkeys(query for query in reply.queries if query))
    if len(queries) < MIN_QUERIES:
        raise ValueError(f"{MIN_QUERIES} different queries are needed, not {len(queries)}")
    return Queries(queries[:count])


def take_observation(reply: ObserveReply, progress: TrajectoryProgress, *, allow_memory: bool) -> Observation:
    """The observation of a reply: earlier answers stay unless the reply has another or withdraws them.

    What happens next follows the answers: no trajectory ends as answered with a gap open, or gives up with none.
    Raises ValueError for a mask that is not there or is answered twice.
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
    """Whether the answer stands in the passage, or at least all its words do ("in 1871, on May 3" for "3 May 1871")."""
    folded = fold_text(answer)
    text = fold_text(f"{passage.title} {passage.text}")
    return holds_tokens(text, folded) or (bool(folded) and set(folded.split()) <= set(text.split()))
