"""Judging stage with a function of the user as judge, which decides each mask; the rules decide everything else.

Guarantees: if the function raises, or returns anything but True or False, the attempt is rejected as `judge_failed`
with verdict `error`; attempts without a usable answer are rejected without a call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from pipeline.evidence.answer_counts import AnswerCounts
from pipeline.judging.judge_stage import JudgedAttempt, JudgeStage, RejectReason, conclude, overrule, read_answers
from pipeline.stage import Outcome
from schemas.config import JudgingConfig
from schemas.judgements import Judgement, MaskScore, Verdict
from schemas.record import content_id

Decide = Callable[[str, tuple[str, ...], str], bool]
"""From an answer, its golds and the masked text to whether the answer is right."""
DECIDED_BY_RULES = {RejectReason.SEARCH_FAILED, RejectReason.BAD_FORMAT, RejectReason.UNANSWERED}
DETAIL_CHARS = 200


class JudgeFunctionError(Exception):
    """The function raised, or returned no verdict; the message is for a judgement."""


def call_judge(decide: Decide, answer: str, golds: tuple[str, ...], text: str) -> bool:
    """The function's verdict on one answer. Raises JudgeFunctionError."""
    try:
        right = decide(answer, golds, text)
    except Exception as error:  # the user's function may raise anything
        raise JudgeFunctionError(f"{type(error).__name__}: {error}"[:DETAIL_CHARS]) from error
    if not isinstance(right, bool):
        raise JudgeFunctionError(f"it returned {right!r}, not True or False"[:DETAIL_CHARS])
    return right


class CustomJudgeStage:
    """Judge of attempts by a function."""

    whole_shard = False

    def __init__(
        self, config: JudgingConfig, decide: Decide, identity: str, counts: AnswerCounts | None = None
    ) -> None:
        """`identity`: the function's name and digest; `counts`: see `JudgeStage`."""
        self._config = config
        self._decide = decide
        self._identity = identity
        self._rules = JudgeStage(config, counts)

    def run(self, inputs: Iterable[JudgedAttempt]) -> Iterator[Outcome]:
        """Judge each attempt."""
        for attempt in inputs:
            yield conclude(self.judge(attempt))

    def judge(self, attempt: JudgedAttempt) -> Judgement:
        """Settle the verdict on one attempt."""
        ruled = self._rules.judge(attempt)
        about = {"judgement_id": content_id(ruled.judgement_id, self._identity), "judge": self._identity.split(" ")[0]}
        if ruled.reject_reason in DECIDED_BY_RULES:
            return ruled.model_copy(update=about)
        try:
            scores = tuple(self._rescore(attempt, score) for score in ruled.scores)
        except JudgeFunctionError as error:
            failed = {"verdict": Verdict.ERROR, "accepted": False, "reject_reason": RejectReason.JUDGE_FAILED.value}
            return ruled.model_copy(update=about | failed | {"reason": f"The judge failed: {error}"})
        wrong = ", ".join(f"mask {score.mask + 1}" for score in scores if not score.right)
        verdict, reject = (Verdict.INCORRECT, RejectReason.WRONG_ANSWER) if wrong else (Verdict.CORRECT, None)
        decided = overrule(scores, verdict, reject, self._config.require_seen)
        right = "Every answer is right." if decided["accepted"] else "Right, but not shown."
        return ruled.model_copy(update=about | decided | {"reason": f"Wrong: {wrong}." if wrong else right})

    def _rescore(self, attempt: JudgedAttempt, score: MaskScore) -> MaskScore:
        answer = read_answers(attempt)[score.mask]
        right = call_judge(self._decide, answer, attempt.task.spans[score.mask].forms, attempt.task.masked_text)
        # An answer that paraphrases the gold counts as seen where its own words were shown.
        seen = score.seen or (right and self._rules.is_shown(attempt, answer))
        return score.model_copy(update={"right": right, "seen": seen})
