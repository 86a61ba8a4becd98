"""Judging stage: a verdict on every trajectory by rules, and the decision which are accepted.

Guarantees: the verdict is one of a closed set and an infrastructure failure is `error`, never a pass and never a wrong
answer; every trajectory gets a `Judgement` row, because a rejected one is data too, and every one not accepted gets a
`Reject` row with the same reason. No passage is folded twice while it is cached.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from pipeline.judging.leaks import count_simulated, find_leaks
from pipeline.judging.scoring import GoldForm, read_gold, score_answer, settle_answer
from pipeline.judging.trajectory_format import FormatFault, find_fault
from pipeline.stage import Outcome
from pipeline.text.normalisation import fold_text, holds_tokens
from schemas.config import JudgingConfig, StageName
from schemas.funnel import FunnelStep, Reject
from schemas.judgements import Judgement, MaskScore, Verdict
from schemas.record import content_id
from schemas.tasks import MaskTask, Span
from schemas.trajectories import StopReason, Trajectory

JUDGE = "rules"
RULES_VERSION = 1
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
    """The trajectory."""
    task: MaskTask
    """Task that it attempted, gold spans included."""
    page_passages: frozenset[str]
    """Ids of the passages of the task's page."""

    @property
    def key(self) -> str:
        """Return the trajectory's id."""
        return self.trajectory.trajectory_id


@dataclass(frozen=True, slots=True)
class MaskFinding:
    """Result for one mask."""

    score: MaskScore
    answer: str


class JudgeStage:
    """Judge of attempts by rules alone."""

    whole_shard = False

    def __init__(self, config: JudgingConfig) -> None:
        self._config = config
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
        findings = self._examine_masks(attempt)
        scores = tuple(finding.score for finding in findings)
        fault = find_fault(trajectory, task.mask_count)
        reject = self._choose_reject(trajectory, findings, fault)
        shown = {passage.passage_id for turn in trajectory.turns for passage in turn.shown}
        leaks = find_leaks(trajectory, task, attempt.page_passages)
        count = len(findings)
        return Judgement(
            judgement_id=content_id(trajectory.trajectory_id, self._settings),
            trajectory_id=trajectory.trajectory_id,
            task_id=task.task_id,
            verdict=_choose_verdict(trajectory, findings),
            judge=JUDGE,
            reason=_explain(reject, findings, fault),
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
            accepted=reject is None,
            reject_reason=reject.value if reject else None,
        )

    def is_shown(self, attempt: JudgedAttempt, text: str) -> bool:
        """Return whether a text occurs in a passage that was shown."""
        folded = fold_text(text)
        return any(holds_tokens(shown, folded) for shown in self._fold_shown(attempt))

    def _fold_shown(self, attempt: JudgedAttempt) -> list[str]:
        shown = {(p.title, p.text) for turn in attempt.trajectory.turns for p in turn.shown}
        return [self._fold(text) for pair in sorted(shown) for text in pair]

    def _examine_masks(self, attempt: JudgedAttempt) -> list[MaskFinding]:
        folded = self._fold_shown(attempt)
        answers = read_answers(attempt.trajectory)
        return [
            self._examine(mask, span, answers.get(mask, ""), folded) for mask, span in enumerate(attempt.task.spans)
        ]

    def _examine(self, mask: int, span: Span, answer: str, shown: list[str]) -> MaskFinding:
        def stands_in_results(folded_part: str) -> bool:
            return any(holds_tokens(text, folded_part) for text in shown)

        golds: tuple[GoldForm, ...] = read_gold(span)
        folded = fold_text(answer)
        scores = score_answer(folded, golds, span)
        score = MaskScore(
            mask=mask,
            exact=scores.exact,
            right=settle_answer(answer, folded, golds, self._config, stands_in_results),
            f1=scores.f1,
            recall=scores.recall,
            fuzzy=scores.fuzzy,
            gold=scores.gold,
            seen=any(stands_in_results(gold.folded) for gold in golds),
        )
        return MaskFinding(score, answer)

    def _choose_reject(
        self, trajectory: Trajectory, findings: list[MaskFinding], fault: tuple[FormatFault, str] | None
    ) -> RejectReason | None:
        if trajectory.stop_reason is StopReason.SEARCH_FAILED:
            return RejectReason.SEARCH_FAILED
        if fault is not None:
            return RejectReason.BAD_FORMAT
        if not all(finding.answer for finding in findings):
            return RejectReason.UNANSWERED
        if not all(finding.score.right for finding in findings):
            return RejectReason.WRONG_ANSWER
        if self._config.require_seen and not all(finding.score.seen for finding in findings):
            return RejectReason.UNSEEN_ANSWER
        return None


def read_answers(trajectory: Trajectory) -> dict[int, str]:
    """Return the answer to each mask; a mask answered more than once counts as unanswered."""
    answers: dict[int, str] = {}
    for answer in trajectory.answers:
        answers[answer.mask] = "" if answer.mask in answers else (answer.answer or "").strip()
    return answers


def _choose_verdict(trajectory: Trajectory, findings: list[MaskFinding]) -> Verdict:
    if trajectory.stop_reason is StopReason.SEARCH_FAILED:
        return Verdict.ERROR
    return Verdict.CORRECT if all(finding.score.right for finding in findings) else Verdict.INCORRECT


def _explain(reject: RejectReason | None, findings: list[MaskFinding], fault: tuple[FormatFault, str] | None) -> str:
    names = [f"mask {finding.score.mask + 1}" for finding in findings]
    if reject is None:
        return "Every mask is answered right." if len(findings) > 1 else "The mask is answered right."
    if reject is RejectReason.SEARCH_FAILED:
        return "The search engine failed, so nothing can be said about the answers."
    if fault is not None:
        return f"The format is broken: {fault[1]}."
    if reject is RejectReason.UNANSWERED:
        return f"No answer: {', '.join(n for n, f in zip(names, findings, strict=True) if not f.answer)}."
    if reject is RejectReason.WRONG_ANSWER:
        wrong = next(f for f in findings if not f.score.right)
        return f"Mask {wrong.score.mask + 1}: {_quote(wrong.answer)} is not {_quote(wrong.score.gold)}."
    unseen = ", ".join(n for n, f in zip(names, findings, strict=True) if not f.score.seen)
    return f"Right, but the answer stands in no passage shown: {unseen}."


def _quote(text: str) -> str:
    line = " ".join(text.split())
    return f'"{line[:79]}…"' if len(line) > 80 else f'"{line}"'


def conclude(judgement: Judgement, *more: FunnelStep) -> Outcome:
    """Return the outcome of a trajectory from its judgement; `more`: further totals."""
    rows: tuple[Judgement | Reject, ...] = (judgement,)
    rejected: dict[str, int] = {}
    if judgement.reject_reason is not None:
        rejected[judgement.reject_reason] = 1
        rows += (_reject(judgement),)
    step = FunnelStep(
        stage=StageName.JUDGEMENTS, unit="trajectory", entered=1, passed=int(judgement.accepted), rejected=rejected
    )
    return Outcome(key=judgement.trajectory_id, rows=rows, funnel=(step, *more))


def _reject(judgement: Judgement) -> Reject:
    return Reject(
        stage=StageName.JUDGEMENTS,
        unit="trajectory",
        input_id=judgement.trajectory_id,
        reason=judgement.reject_reason or "",
        detail=judgement.reason,
    )
