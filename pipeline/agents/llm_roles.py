"""Planner, rewriter and observer played by a language model (MaskSearch, arXiv 2505.20285, section 2.2).

Promises: one call gives one typed reply or an error; a prompt holds what `TrajectoryProgress` holds and nothing else.
An answer counts as read when the passage it names was shown and holds its words; any other is from memory: dropped,
or, where the configuration allows it, kept without evidence.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.agents.llm_prompts import DATED, write_observe, write_plan, write_rewrite
from pipeline.agents.roles import MIN_QUERIES, NextStep, Observation, PlannedQuestion, Queries, TrajectoryProgress
from pipeline.llm.structured_output import Prompt, StructuredOutput, TokenUsage
from pipeline.search.engine import FoundPassage
from pipeline.text.normalisation import fold_text, holds_tokens
from prompts.library import load_template
from prompts.replies import OBSERVE, PLAN, REWRITE, AnswerItem, ObserveReply, PlanReply, RewriteReply
from schemas.config import AgentsConfig
from schemas.renderings import QuestionKind
from schemas.trajectories import MaskAnswer


@dataclass(frozen=True, slots=True)
class LlmAgents:
    """The three roles in one attempt; the chat model decides which model plays which."""

    asker: StructuredOutput
    """Asks the chat model."""
    config: AgentsConfig
    """The configuration's section `agents`."""
    date: str
    """The date in the system message; empty for no such message."""
    usage: TokenUsage
    """Counts the calls."""

    async def plan(self, progress: TrajectoryProgress) -> PlannedQuestion:
        """Say what to seek next. Raises UnreadableReplyError and ModelError, as do the others."""
        masks = progress.task.mask_count
        text = write_plan(progress, self.config.max_turns - len(progress.turns))
        prompt = self._prompt("planner", progress, text, mask=masks)
        return await self.asker.ask(prompt, PLAN, lambda reply: take_plan(reply, masks), self.usage)

    async def rewrite(self, progress: TrajectoryProgress, plan: PlannedQuestion) -> Queries:
        """Turn a plan into queries."""
        count = self.config.queries_per_turn
        prompt = self._prompt("rewriter", progress, write_rewrite(progress, plan, count))
        return await self.asker.ask(prompt, REWRITE, lambda reply: take_queries(reply, count), self.usage)

    async def observe(self, progress: TrajectoryProgress, plan: PlannedQuestion) -> Observation:
        """Conclude from what was shown; a question may also be answered from memory."""
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
