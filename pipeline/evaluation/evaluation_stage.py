"""The stage that answers questions and scores the answers: one question in, one row for each run out.

Promises: a row depends on its question, the run's number, the method, the replies and the engine, never on what ran
beside it; an attempt that no reply could be read for, or whose request was refused, is an unfinished answer with that
reason and counts as 0; a fault of the endpoint or a spent budget leaves the question owed.
"""

from __future__ import annotations

import json

from pipeline.evaluation.metrics import AnswerScores, score_answer
from pipeline.evaluation.solving import AnswerAttempt, Manner, OpenQuestion, Solver
from pipeline.judging.llm_judge import ANSWER_CHARS, LlmJudge, Ruling
from pipeline.llm.chat_model import RefusedRequestError
from pipeline.llm.gathering import gather_all
from pipeline.llm.structured_output import UNREADABLE, Price, TokenUsage
from pipeline.stage import Outcome
from prompts.library import load_template
from prompts.replies import UnreadableReplyError
from schemas.evaluations import EvalMethod, EvalQuestion, Evaluation
from schemas.funnel import FunnelStep
from schemas.judgements import Verdict
from schemas.record import content_id

STAGE = "evaluation"
JUDGE_TEMPLATE = "judge_question"


class EvaluationStage:
    """Answers questions by one method."""

    def __init__(
        self,
        method: EvalMethod,
        solver: Solver,
        engine: str,
        runs: int,
        judge: LlmJudge | None = None,
        judged_by: str = "",
        price: Price | None = None,
    ) -> None:
        """`engine`: its fingerprint; `judge`: asked about every finished answer; `judged_by`: all that decides what it
        says, as text; `price`: what a call costs."""
        self._method = method
        self._solver = solver
        self._engine = engine
        self._runs = runs
        self._judge = judge
        self._judged_by = judged_by
        self._price = price

    async def work(self, question: EvalQuestion) -> Outcome:
        """The rows of one question; any number of questions may be under work at once."""
        rows = await gather_all(self._answer(question, run) for run in range(self._runs))
        step = FunnelStep(stage=STAGE, unit="question", entered=1, passed=1, rejected={})
        return Outcome(question.key, tuple(rows), (step,))

    async def _answer(self, question: EvalQuestion, run: int) -> Evaluation:
        tally = TokenUsage()
        try:
            attempt = await self._solver.solve(OpenQuestion(question.lang, question.question), run, tally)
        except UnreadableReplyError:
            attempt = AnswerAttempt(None, UNREADABLE)
        except RefusedRequestError as error:
            attempt = AnswerAttempt(None, error.reason)
        ruling = await self._rule(question, attempt, tally)
        return self._make_row(question, run, attempt, ruling, tally)

    async def _rule(self, question: EvalQuestion, attempt: AnswerAttempt, tally: TokenUsage) -> Ruling | None:
        """The judge's ruling; an unfinished answer is wrong without asking."""
        if self._judge is None:
            return None
        if not attempt.finished:
            return Ruling(Verdict.INCORRECT, f"unfinished: {attempt.stop}", ())
        return await self._judge.rule_prompt(question.lang, write_judge_prompt(question, attempt.answer or ""), tally)

    def _make_row(
        self, question: EvalQuestion, run: int, attempt: AnswerAttempt, ruling: Ruling | None, tally: TokenUsage
    ) -> Evaluation:
        manner = self._solver.describe(question.lang)
        scores = score_answer(attempt.answer, question) if attempt.finished else AnswerScores()
        wanted = set(question.supporting_ids)
        return Evaluation(
            evaluation_id=self._identify(question, run, manner),
            question_id=question.question_id,
            benchmark=question.dataset,
            lang=question.lang,
            question=question.question,
            golds=question.golds,
            method=self._method,
            model=manner.model,
            run=run,
            answer=attempt.answer,
            finished=attempt.finished,
            stop=attempt.stop,
            recall=scores.recall,
            exact=scores.exact,
            substring=scores.substring,
            f1=scores.f1,
            verdict=ruling.verdict if ruling else None,
            verdict_reason=ruling.reason if ruling else None,
            turns=attempt.turns,
            searches=attempt.searches,
            shown=attempt.shown,
            support=len(wanted.intersection(attempt.shown)) / len(wanted) if wanted and attempt.turns else None,
            usage=tally.list_usage(self._price),
            prompts=manner.prompts,
            sampling=manner.sampling,
            engine=self._engine,
        )

    def _identify(self, question: EvalQuestion, run: int, manner: Manner) -> str:
        asked = (question.question_id, question.lang, question.question, question.golds)
        digests = [prompt.digest for prompt in manner.prompts]
        made_by = (self._method, manner.model, digests, manner.sampling, self._engine)
        return content_id(asked, run, made_by, self._judged_by)


def write_judge_prompt(question: EvalQuestion, answer: str) -> str:
    """What the judge is asked. The answer is a JSON string in it, so that no quote of it can pass for a verdict."""
    return load_template(JUDGE_TEMPLATE, question.lang).fill(
        text=question.question,
        gold="\n".join(" / ".join(forms) for forms in question.golds),
        answer=json.dumps(answer[:ANSWER_CHARS], ensure_ascii=False),
    )
