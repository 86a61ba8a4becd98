"""Judging stage: a verdict on every trajectory by rules, and the decision which are accepted.

Guarantees: the verdict is one of a closed set and an infrastructure failure is `error`, never a pass and never a wrong
answer; every trajectory gets a `Judgement` row, because a rejected one is data too, and every one not accepted gets a
`Reject` row with the same reason. No passage is folded twice while it is cached.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any

from pipeline.evidence.answer_counts import AnswerCounts
from pipeline.judging.leaks import count_simulated, find_leaks
from pipeline.judging.order_free import align_answers
from pipeline.judging.scoring import equals_gold, read_gold, score_answer, settle_answer
from pipeline.judging.signatures import SignatureReader
from pipeline.judging.trajectory_format import Fault, find_fault
from pipeline.stage import Outcome
from pipeline.text.normalisation import fold_text, holds_tokens
from schemas.config import JudgingConfig, StageName
from schemas.funnel import FunnelStep, Reject
from schemas.judgements import Judgement, MaskScore, Verdict
from schemas.record import content_id
from schemas.tasks import MaskTask, Span
from schemas.trajectories import StopReason, Trajectory

JUDGE = "rules"
RULES_VERSION = 2
"""Incremented when a rule changes any verdict, so that judgements get new ids."""
RULE_KEYS = {"min_fuzzy", "min_recall", "require_seen"}
"""Settings of the rules."""
REMEMBERED_PASSAGES = 8192


class RejectReason(StrEnum):
    """Reason why a trajectory is not accepted; the first that applies."""

    SEARCH_FAILED = "search_failed"
    BAD_FORMAT = "bad_format"
    UNANSWERED = "unanswered"
    WRONG_ANSWER = "wrong_answer"
    UNSEEN_ANSWER = "unseen_answer"
    UNJUDGEABLE = "unjudgeable"
    JUDGE_FAILED = "judge_failed"


@dataclass(frozen=True, slots=True)
class JudgedAttempt:
    """Trajectory with everything needed to judge it."""

    trajectory: Trajectory
    task: MaskTask
    """Task that it attempted, gold spans included."""
    page_passages: frozenset[str]
    """Ids of the passages of the task's page."""

    @property
    def key(self) -> str:
        """The trajectory's id."""
        return self.trajectory.trajectory_id


class JudgeStage:
    """Judge of attempts by rules alone."""

    whole_shard = False

    def __init__(self, config: JudgingConfig, counts: AnswerCounts | None = None) -> None:
        """`counts`: of the passages of the corpus, where it has an index."""
        self._config = config
        self._counts = counts
        self._settings = (JUDGE, RULES_VERSION, config.model_dump(mode="json", include=RULE_KEYS))
        self._fold = lru_cache(REMEMBERED_PASSAGES)(fold_text)

    def run(self, inputs: Iterable[JudgedAttempt]) -> Iterator[Outcome]:
        """Judge each attempt; raises ValueError when a trajectory is paired with a task it did not attempt."""
        for attempt in inputs:
            yield conclude(self.judge(attempt))

    def judge(self, attempt: JudgedAttempt) -> Judgement:
        """Decide the verdict on one attempt."""
        trajectory, task = attempt.trajectory, attempt.task
        if trajectory.task_id != task.task_id:
            raise ValueError(
                f"trajectory {trajectory.trajectory_id} attempted {trajectory.task_id}, not {task.task_id}"
            )
        answers = read_answers(attempt)
        scores = self._score_masks(attempt, answers)
        fault = find_fault(trajectory, task.mask_count)
        reject = self._choose_reject(trajectory, answers, scores, fault)
        shown = {passage.passage_id for turn in trajectory.turns for passage in turn.shown}
        reader = SignatureReader(trajectory, task, self._fold, self._counts)
        leaks = find_leaks(trajectory, task, attempt.page_passages, reader.origins)
        count = len(scores)
        return Judgement(
            judgement_id=content_id(trajectory.trajectory_id, self._settings),
            trajectory_id=trajectory.trajectory_id,
            task_id=task.task_id,
            verdict=_choose_verdict(trajectory, scores),
            judge=JUDGE,
            reason=_explain(reject, answers, scores, fault),
            scores=scores,
            exact=sum(score.exact for score in scores) / count,
            f1=sum(score.f1 for score in scores) / count,
            recall=sum(score.recall for score in scores) / count,
            format_ok=fault is None,
            format_reason=fault[0].value if fault else None,
            answer_seen=all(score.seen for score in scores),
            from_source_page=not shown.isdisjoint(attempt.page_passages),
            leaked=leaks.leaked,
            copies_shown=leaks.copies,
            simulated=count_simulated(trajectory, task.spans, self._fold),
            signature=reader.read(),
            accepted=reject is None,
            reject_reason=reject.value if reject else None,
        )

    def is_shown(self, attempt: JudgedAttempt, text: str) -> bool:
        """Whether a text occurs in a passage that was shown."""
        folded = fold_text(text)
        return any(holds_tokens(shown, folded) for shown in self._fold_shown(attempt))

    def _fold_shown(self, attempt: JudgedAttempt) -> list[str]:
        shown = {(p.title, p.text) for turn in attempt.trajectory.turns for p in turn.shown}
        return [self._fold(text) for pair in sorted(shown) for text in pair]

    def _score_masks(self, attempt: JudgedAttempt, answers: Mapping[int, str]) -> tuple[MaskScore, ...]:
        shown = self._fold_shown(attempt)

        def occurs_in_results(folded: str) -> bool:
            return any(holds_tokens(text, folded) for text in shown)

        def score_mask(mask: int, span: Span) -> MaskScore:
            golds, answer = read_gold(span), answers.get(mask, "")
            folded = fold_text(answer)
            scores = score_answer(folded, golds, span)
            return MaskScore(
                mask=mask,
                exact=scores.exact,
                right=settle_answer(answer, folded, golds, self._config, occurs_in_results),
                f1=scores.f1,
                recall=scores.recall,
                fuzzy=scores.fuzzy,
                gold=scores.gold,
                seen=any(occurs_in_results(gold.folded) for gold in golds),
            )

        return tuple(score_mask(mask, span) for mask, span in enumerate(attempt.task.spans))

    def _choose_reject(
        self, trajectory: Trajectory, answers: Mapping[int, str], scores: Sequence[MaskScore], fault: Fault | None
    ) -> RejectReason | None:
        if trajectory.stop_reason is StopReason.SEARCH_FAILED:
            return RejectReason.SEARCH_FAILED
        if fault is not None:
            return RejectReason.BAD_FORMAT
        if not all(answers.get(score.mask) for score in scores):
            return RejectReason.UNANSWERED
        if not all(score.right for score in scores):
            return RejectReason.WRONG_ANSWER
        if self._config.require_seen and not all(score.seen for score in scores):
            return RejectReason.UNSEEN_ANSWER
        return None


def read_answers(attempt: JudgedAttempt) -> dict[int, str]:
    """The answer to each mask, order-free ones exchanged where that makes more of them right; a mask answered more than
    once counts as unanswered.
    """
    task, answers = attempt.task, dict[int, str]()
    for answer in attempt.trajectory.answers:
        answers[answer.mask] = "" if answer.mask in answers else (answer.answer or "").strip()
    if len(answers) != task.mask_count or set(answers) != set(range(task.mask_count)):
        return answers
    golds = [read_gold(span) for span in task.spans]
    given = [answers[mask] for mask in range(task.mask_count)]
    aligned = align_answers(task.masked_text, given, lambda text, mask: equals_gold(fold_text(text), golds[mask]))
    return {mask: answer or "" for mask, answer in enumerate(aligned)}


def _choose_verdict(trajectory: Trajectory, scores: Sequence[MaskScore]) -> Verdict:
    if trajectory.stop_reason is StopReason.SEARCH_FAILED:
        return Verdict.ERROR
    return Verdict.CORRECT if all(score.right for score in scores) else Verdict.INCORRECT


def _explain(
    reject: RejectReason | None, answers: Mapping[int, str], scores: Sequence[MaskScore], fault: Fault | None
) -> str:
    if reject is None:
        return "Every mask is answered right." if len(scores) > 1 else "The mask is answered right."
    if reject is RejectReason.SEARCH_FAILED:
        return "The search engine failed, so nothing can be said about the answers."
    if fault is not None:
        return f"The format is broken: {fault[1]}."
    if reject is RejectReason.UNANSWERED:
        return f"No answer: {_name_masks(score for score in scores if not answers.get(score.mask))}."
    if reject is RejectReason.WRONG_ANSWER:
        wrong = next(score for score in scores if not score.right)
        return f"Mask {wrong.mask + 1}: {_quote(answers[wrong.mask])} is not {_quote(wrong.gold)}."
    return f"Right, but the answer stands in no passage shown: {_name_masks(s for s in scores if not s.seen)}."


def _name_masks(scores: Iterable[MaskScore]) -> str:
    return ", ".join(f"mask {score.mask + 1}" for score in scores)


def _quote(text: str) -> str:
    line = " ".join(text.split())
    return f'"{line[:79]}…"' if len(line) > 80 else f'"{line}"'


def overrule(
    scores: tuple[MaskScore, ...], verdict: Verdict, reject: RejectReason | None, require_seen: bool
) -> dict[str, Any]:
    """The changed fields of a judgement whose answers were decided otherwise; right answers must still be seen."""
    seen = all(score.seen for score in scores)
    if reject is None and require_seen and not seen:
        reject = RejectReason.UNSEEN_ANSWER
    return {
        "verdict": verdict,
        "scores": scores,
        "answer_seen": seen,
        "accepted": reject is None,
        "reject_reason": reject.value if reject else None,
    }


def conclude(judgement: Judgement, *more: FunnelStep) -> Outcome:
    """The outcome of a trajectory from its judgement; `more`: further totals."""
    rows: tuple[Judgement | Reject, ...] = (judgement,)
    rejected: dict[str, int] = {}
    stage, unit, key = StageName.JUDGEMENTS, "trajectory", judgement.trajectory_id
    if (reason := judgement.reject_reason) is not None:
        rejected[reason] = 1
        rows += (Reject(stage=stage, unit=unit, input_id=key, reason=reason, detail=judgement.reason),)
    step = FunnelStep(stage=stage, unit=unit, entered=1, passed=int(judgement.accepted), rejected=rejected)
    return Outcome(key=key, rows=rows, funnel=(step, *more))
