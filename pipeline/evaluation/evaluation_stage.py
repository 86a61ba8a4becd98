"""Evaluation stage: answers questions and scores the answers, one row for each question and run.

Guarantees: a row depends on its question, the number of the run, the method, the replies and the engine alone; an
attempt with an unreadable reply or a refused request is an unfinished answer with that reason and counts as 0; an
error of the endpoint or an exhausted budget leaves the question pending.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from pipeline.agents.solving import FailedAttempt, Provenance, Rollout, Solver, ask_question, run_attempt
from pipeline.evaluation.metrics import AnswerScores, score_answer
from pipeline.judging.llm_judge import ANSWER_CHARS, LlmJudge, Ruling
from pipeline.llm.event_loop import gather_all
from pipeline.llm.structured_output import Price, TokenUsage
from pipeline.stage import Outcome
from prompts.library import load_template
from schemas.evaluations import EvalMethod, EvalQuestion, Evaluation
from schemas.funnel import FunnelStep
from schemas.judgements import Verdict
from schemas.record import content_id
from schemas.trajectories import StopReason

STAGE = "evaluation"
JUDGE_TEMPLATE = "judge_question"


@dataclass(frozen=True, slots=True)
class FinalAnswer:
    """Answer of one attempt."""

    text: str | None
    stop: str
    """`answered`, or the reason code of an unanswered attempt."""
    turns: int = 0
    searches: int = 0
    """Queries sent."""
    shown: tuple[str, ...] = ()
    """Distinct ids of the passages shown, in order."""

    @property
    def finished(self) -> bool:
        """Whether the attempt ended with an answer, and not at the limit of turns."""
        return self.stop == StopReason.ANSWERED.value and bool(self.text and self.text.strip())


@dataclass(frozen=True)
class EvaluationStage:
    """Answers questions by one method."""

    method: EvalMethod
    solver: Solver
    runs: int
    judge: LlmJudge | None = None
    """Rules on finished answers."""
    judged_by: str = ""
    """Settings that determine its rulings."""
    price: Price | None = None
    """Price of a call."""

    async def work(self, question: EvalQuestion) -> Outcome:
        """The rows of one question; safe for concurrent questions."""
        rows = await gather_all(self._answer(question, run) for run in range(self.runs))
        step = FunnelStep(stage=STAGE, unit="question", entered=1, passed=1, rejected={})
        return Outcome(question.key, tuple(rows), (step,))

    async def _answer(self, question: EvalQuestion, run: int) -> Evaluation:
        attempt = ask_question(question.question, question.lang, run)
        usage = TokenUsage()
        answer = sum_up(await run_attempt(self.solver, attempt, usage))
        ruling = await self._rule(question, answer, usage)
        return self._make_row(question, run, answer, ruling, usage, self.solver.describe(attempt))

    async def _rule(self, question: EvalQuestion, answer: FinalAnswer, usage: TokenUsage) -> Ruling | None:
        """The judge's ruling; an unfinished answer is wrong without a call."""
        if self.judge is None:
            return None
        if not answer.finished:
            return Ruling(Verdict.INCORRECT, f"unfinished: {answer.stop}", ())
        return await self.judge.rule_prompt(question.lang, write_judge_prompt(question, answer.text or ""), usage)

    def _make_row(
        self,
        question: EvalQuestion,
        run: int,
        answer: FinalAnswer,
        ruling: Ruling | None,
        usage: TokenUsage,
        made_by: Provenance,
    ) -> Evaluation:
        scores = score_answer(answer.text, question) if answer.finished else AnswerScores()
        supporting = set(question.supporting_ids)
        return Evaluation(
            evaluation_id=self._identify(question, run, made_by),
            question_id=question.question_id,
            benchmark=question.dataset,
            lang=question.lang,
            question=question.question,
            golds=question.golds,
            method=self.method,
            model=made_by.model,
            run=run,
            answer=answer.text,
            finished=answer.finished,
            stop=answer.stop,
            recall=scores.recall,
            exact=scores.exact,
            substring=scores.substring,
            f1=scores.f1,
            verdict=ruling.verdict if ruling else None,
            verdict_reason=ruling.reason if ruling else None,
            turns=answer.turns,
            searches=answer.searches,
            shown=answer.shown,
            support=len(supporting.intersection(answer.shown)) / len(supporting)
            if supporting and answer.turns
            else None,
            usage=usage.list_usage(self.price),
            prompts=made_by.prompts,
            sampling=made_by.sampling,
            engine=made_by.engine,
        )

    def _identify(self, question: EvalQuestion, run: int, made_by: Provenance) -> str:
        task = (question.question_id, question.lang, question.question, question.golds)
        method = (self.method, made_by.model, made_by.digests, made_by.sampling, made_by.engine)
        return content_id(task, run, method, self.judged_by)


def sum_up(rollout: Rollout | FailedAttempt) -> FinalAnswer:
    """The answer of an attempt at a question."""
    if isinstance(rollout, FailedAttempt):
        return FinalAnswer(None, rollout.reason)
    calls = sum(len(turn.calls) for turn in rollout.turns)
    shown = dict.fromkeys(passage.passage_id for turn in rollout.turns for passage in turn.shown)
    text = rollout.answers[0].answer if rollout.answers else None
    return FinalAnswer(text, rollout.stop_reason.value, len(rollout.turns), calls, tuple(shown))


def write_judge_prompt(question: EvalQuestion, answer: str) -> str:
    """The judge's prompt. The answer is a JSON string in it, so that no quotation in it can pass for a verdict."""
    return load_template(JUDGE_TEMPLATE, question.lang).fill(
        text=question.question,
        gold="\n".join(" / ".join(forms) for forms in question.golds),
        answer=json.dumps(answer[:ANSWER_CHARS], ensure_ascii=False),
    )
