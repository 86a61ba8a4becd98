"""Judging stage with a language model: rules decide what they can, the model decides the rest.

The rules decide: a failed search, a broken format, a missing answer, a correct answer, and a plainly wrong one (markup,
another year). Only an answer that they cannot match to the gold is sent to the model, whose verdict then counts.

Guarantees: those of judging by rules; nothing is accepted except on the verdict `correct`; where rules and model both
judged, the totals compare them: on the trajectories that are right by the rules and drawn for an audit
(`audited_trajectory`), and on those that the rules cannot decide, where agreement means that the model finds no right
answer either (`unsettled_trajectory`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pipeline.evidence.answer_counts import AnswerCounts
from pipeline.judging.judge_stage import JudgedAttempt, JudgeStage, RejectReason, conclude, overrule, read_answers
from pipeline.judging.llm_judge import JudgeQuestion, LlmJudge, Ruling, list_prompts
from pipeline.judging.scoring import holds_markup
from pipeline.llm.chat_model import ChatModel
from pipeline.llm.event_loop import gather_all
from pipeline.llm.roles import describe_models
from pipeline.llm.structured_output import TokenUsage
from pipeline.stage import Outcome
from pipeline.text.normalisation import fold_text
from schemas.config import JudgingConfig, StageName
from schemas.funnel import FunnelStep
from schemas.judgements import Judgement, MaskScore, Verdict
from schemas.llm_config import RoleModelConfig
from schemas.record import content_id
from schemas.roles import Role
from schemas.tasks import Span, SpanKind

AUDITED, UNSETTLED = "audited_trajectory", "unsettled_trajectory"
UNREAD_OPINION = f"model_says_{Verdict.UNJUDGEABLE.value}"
AUDITS = 1_000_000
YEAR = re.compile(r"\b[12]\d{3}\b")
REJECTS = {
    Verdict.INCORRECT: RejectReason.WRONG_ANSWER,
    Verdict.UNJUDGEABLE: RejectReason.UNJUDGEABLE,
    Verdict.ERROR: RejectReason.JUDGE_FAILED,
}
WORST = (Verdict.INCORRECT, Verdict.ERROR, Verdict.UNJUDGEABLE, Verdict.CORRECT)
"""Order of verdicts: a trajectory gets the worst of its answers."""


class LlmJudgeStage:
    """Judge of attempts by rules, then by a model."""

    whole_shard = False

    def __init__(
        self,
        config: JudgingConfig,
        model: ChatModel,
        models: Mapping[str, RoleModelConfig],
        counts: AnswerCounts | None = None,
    ) -> None:
        """`models`: the configuration's `llm.roles`, part of the ids; `counts`: see `JudgeStage`."""
        self._config = config
        self._rules = JudgeStage(config, counts)
        self._judge = LlmJudge(model, config)
        self._model = describe_models(models, (Role.JUDGE,)).get(Role.JUDGE, {})

    async def work(self, attempt: JudgedAttempt) -> Outcome:
        """The outcome of one attempt. Raises the ModelError that leaves it pending."""
        ruled = self._rules.judge(attempt)
        judgement = ruled.model_copy(update={"judgement_id": self._identify(attempt, ruled)})
        masks = self._choose_masks(attempt, ruled)
        if not masks:
            return conclude(judgement)
        usage = TokenUsage()
        rulings = await gather_all(self._judge.rule(make_question(attempt, mask), usage) for mask in masks)
        opinion = min((ruling.verdict for ruling in rulings), key=WORST.index)
        if ruled.verdict is not Verdict.CORRECT:
            names = sorted({model for _, model in usage.sums}) or [str(self._model.get("model", Role.JUDGE))]
            judgement = self._overrule(attempt, judgement, dict(zip(masks, rulings, strict=True)), ", ".join(names))
        return conclude(judgement, _compare(ruled.verdict, opinion))

    def _identify(self, attempt: JudgedAttempt, ruled: Judgement) -> str:
        config = self._config
        digests = [prompt.digest for prompt in list_prompts(attempt.task.lang, bool(attempt.task.mentions))]
        return content_id(
            ruled.judgement_id, Role.JUDGE, self._model, digests, config.votes, config.temperature, config.max_tokens
        )

    def _choose_masks(self, attempt: JudgedAttempt, ruled: Judgement) -> list[int]:
        """The masks whose answers are sent to the model."""
        if ruled.reject_reason == RejectReason.WRONG_ANSWER:
            answers, spans = read_answers(attempt), attempt.task.spans
            wrong = [score.mask for score in ruled.scores if not score.right]
            return [] if any(is_plainly_wrong(answers[mask], spans[mask]) for mask in wrong) else wrong
        if ruled.verdict is Verdict.CORRECT and ruled.format_ok and self._is_audited(attempt):
            return list(range(attempt.task.mask_count))
        return []

    def _is_audited(self, attempt: JudgedAttempt) -> bool:
        return int(content_id("audit", attempt.key), 16) % AUDITS < self._config.audit * AUDITS

    def _overrule(
        self, attempt: JudgedAttempt, ruled: Judgement, rulings: Mapping[int, Ruling], judge: str
    ) -> Judgement:
        verdict = min((ruling.verdict for ruling in rulings.values()), key=WORST.index)
        right = {mask for mask, ruling in rulings.items() if ruling.verdict is Verdict.CORRECT}
        answers = read_answers(attempt)

        def rescore(score: MaskScore) -> MaskScore:
            if score.mask not in right:
                return score
            # The answer paraphrases the gold, so it counts as seen where its own words were shown.
            seen = score.seen or self._rules.is_shown(attempt, answers[score.mask])
            return score.model_copy(update={"right": True, "seen": seen})

        scores = tuple(map(rescore, ruled.scores))
        decided = overrule(scores, verdict, REJECTS.get(verdict), self._config.require_seen)
        return ruled.model_copy(update=decided | {"judge": judge, "reason": _explain(rulings, verdict)})


def make_question(attempt: JudgedAttempt, mask: int) -> JudgeQuestion:
    """The question about one answer of an attempt for the judge."""
    task, answer = attempt.task, read_answers(attempt).get(mask, "")
    golds = task.spans[mask].forms
    return JudgeQuestion(task.lang, task.title, task.section, task.masked_text, mask, golds, answer)


def is_plainly_wrong(answer: str, span: Span) -> bool:
    """Whether an answer that the rules do not accept needs no model.

    It contains markup or nothing, or it names another year than a date that has one.
    """
    folded = fold_text(answer)
    if not folded or holds_markup(answer):
        return True
    if span.kind is not SpanKind.DATE:
        return False
    years = set(YEAR.findall(folded))
    gold_years = [set(YEAR.findall(fold_text(gold))) for gold in span.forms]
    return bool(years) and all(gold and gold.isdisjoint(years) for gold in gold_years)


def _explain(rulings: Mapping[int, Ruling], verdict: Verdict) -> str:
    mask, ruling = next((mask, ruling) for mask, ruling in rulings.items() if ruling.verdict is verdict)
    return f"Mask {mask + 1}: {ruling.reason or verdict.value}"


def _compare(ruled: Verdict, opinion: Verdict) -> FunnelStep:
    unit = AUDITED if ruled is Verdict.CORRECT else UNSETTLED
    agree = ruled is opinion
    rejected: dict[str, int] = {} if agree else {f"model_says_{opinion.value}": 1}
    return FunnelStep(
        stage=StageName.JUDGEMENTS, unit=unit, entered=1, passed=int(agree), rejected=rejected, compares=True
    )
