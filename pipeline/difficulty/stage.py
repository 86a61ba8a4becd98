"""Difficulty stage: how often attempts with search were accepted, and attempts without search were right.

A task known by heart does not teach searching, and a task that is never solved teaches nothing; reinforcement learning
needs those in between.

Guarantees: only attempts with a verdict count; a closed-book answer is right by the judge's rules, aliases included, or
it is wrong; golds are never part of a prompt.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.judging.order_free import align_answers
from pipeline.judging.scoring import equals_gold, read_gold, settle_answer
from pipeline.llm.chat_model import ChatModel, ChatRequest, Message, RefusedRequestError
from pipeline.llm.event_loop import gather_all
from pipeline.rendering.questions import write_instruction, write_question
from pipeline.rendering.transcript import ask
from pipeline.rewards.completions import read_completion
from pipeline.stage import Outcome
from pipeline.text.normalisation import fold_text
from schemas.config import JudgingConfig, StageName
from schemas.difficulties import Difficulty
from schemas.funnel import FunnelStep
from schemas.judgements import Judgement, Verdict
from schemas.policies import PolicyConfig
from schemas.renderings import RenderingName
from schemas.roles import Role
from schemas.tasks import MaskTask

JUDGED = (Verdict.CORRECT, Verdict.INCORRECT)
"""Verdicts that count towards difficulty."""


@dataclass(frozen=True, slots=True)
class TriedTask:
    """Task with the results of its attempts."""

    task: MaskTask
    judgements: tuple[Judgement, ...]
    """Judgements of all attempts with search."""

    @property
    def key(self) -> str:
        """The task's id."""
        return self.task.task_id


@dataclass(frozen=True)
class DifficultyStage:
    """Stage that counts attempts, and makes those without search."""

    whole_shard = False

    config: PolicyConfig
    judging: JudgingConfig
    model: ChatModel | None
    """Model of the role `closed_book`; None where `closed_book` is 0."""

    async def work(self, tried: TriedTask) -> Outcome:
        """The outcome of one task. Raises the ModelError that leaves it pending."""
        judged = [judgement for judgement in tried.judgements if judgement.verdict in JUDGED]
        answered = await gather_all(self._recall(tried.task, number) for number in range(self.config.closed_book))
        closed = [right for right in answered if right is not None]
        row = Difficulty(
            task_id=tried.key,
            searched=len(judged),
            solved=sum(judgement.accepted for judgement in judged),
            closed=len(closed),
            known=sum(closed),
        )
        step = FunnelStep(stage=StageName.DIFFICULTIES, unit="task", entered=1, passed=1, rejected={})
        return Outcome(tried.key, (row,), (step,))

    async def _recall(self, task: MaskTask, number: int) -> bool | None:
        """Whether an attempt without search gets everything right; None when the server refuses it."""
        if self.model is None:
            raise RuntimeError("closed-book attempts need a model")
        question = ask(task)
        text = f"{write_instruction('solve_closed', question)}\n\n{write_question(question)}"
        config = self.config
        try:
            reply = await self.model.ask(
                ChatRequest(
                    Role.CLOSED_BOOK,
                    (Message("user", text),),
                    number,
                    temperature=config.temperature,
                    max_tokens=config.max_turn,
                    top_p=config.top_p,
                )
            )
        except RefusedRequestError:
            return None
        completion = read_completion(RenderingName.SEARCH_R1, task.lang, task.mask_count, reply.text)
        answers = () if completion.surplus else completion.answers or ()
        if len(answers) != task.mask_count:
            return False
        golds = [read_gold(span) for span in task.spans]
        aligned = align_answers(task.masked_text, answers, lambda text, mask: equals_gold(fold_text(text), golds[mask]))
        return all(
            answer is not None and settle_answer(answer, fold_text(answer), gold, self.judging, lambda _: False)
            for answer, gold in zip(aligned, golds, strict=True)
        )
