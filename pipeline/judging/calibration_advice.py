"""Assessment of a calibrated judge: its reliability, and recommended changes.

Guarantees: reliability is measured on the verdicts of the job (rules first); the reported risk is the upper end of a
95% interval, so that a small sample does not appear safe.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from pipeline.judging.calibration import Judged, Score, score_verdicts
from pipeline.llm.structured_output import EMPTY
from schemas.judgements import Verdict

MOST_FALSE_ACCEPTS = 0.02
"""Maximum share of accepted wrong answers of a judge that is reliable enough for a corpus."""
CARE_FALSE_ACCEPTS = 0.10
"""Maximum share with which a judge is usable under human supervision."""
LEAST_KAPPA, CARE_KAPPA = 0.8, 0.6
"""Almost perfect and substantial agreement (Landis and Koch, 1977)."""
MOST_UNDECIDED = 0.05
ENOUGH_WRONG = 100
"""Wrong answers from which the bound on false accepts is informative."""
LANGUAGE_GAP = 0.15
Z95 = 1.96


class Trust(StrEnum):
    """Reliability of a judge."""

    YES = "yes"
    WITH_CARE = "with care"
    NO = "no"


@dataclass(frozen=True, slots=True)
class Assessment:
    """Assessment of a judge."""

    trust: Trust
    because: str
    """Reason, in one sentence."""
    advice: tuple[str, ...]
    """Recommended changes, most urgent first."""


def assess_judge(judged: Sequence[Judged]) -> Assessment:
    """Assess whether the judge is reliable, and what to change."""
    job = score_verdicts(judged, lambda one: one.by_job)
    share = _divide(job.false_accepts, job.deserve_incorrect)
    bound = bound_share(job.false_accepts, job.deserve_incorrect)
    trust = _grade(job, share)
    because = (
        f"of {job.deserve_incorrect} answers that deserve `incorrect` the job would accept {job.false_accepts} "
        f"({share:.0%}; the true share may be as high as {bound:.0%}), and it gives {job.right} of all {job.count} "
        f"the verdict that they deserve"
    )
    return Assessment(trust, because, tuple(_advise(judged, job, trust)))


def _grade(job: Score, share: float) -> Trust:
    kappa = job.kappa if job.kappa is not None else 0.0
    undecided = _divide(job.undecided, job.count)
    if share <= MOST_FALSE_ACCEPTS and kappa >= LEAST_KAPPA and undecided <= MOST_UNDECIDED:
        return Trust.YES
    return Trust.WITH_CARE if share <= CARE_FALSE_ACCEPTS and kappa >= CARE_KAPPA else Trust.NO


def _advise(judged: Sequence[Judged], job: Score, trust: Trust) -> list[str]:
    advice = []
    rules = score_verdicts(judged, lambda one: one.by_rules.verdict)
    unsettled = [one for one in judged if not one.by_rules.settled]
    verdicts = {one.by_model.verdict for one in judged}
    if len(verdicts) == 1 and len(judged) > 1:
        advice.append(f"It says `{verdicts.pop()}` to everything: it does not judge.")
    refused = sum(one.by_model.verdict is Verdict.ERROR for one in unsettled)
    unread = sum(one.by_model.verdict is Verdict.UNJUDGEABLE for one in unsettled)
    if refused:
        advice.append(f"The server refused {refused} requests: the reasons stand beside the answers it misjudged.")
    empty = sum(EMPTY in one.by_model.reason for one in unsettled)
    if empty > MOST_UNDECIDED * len(unsettled):
        advice.append(
            f"{empty} of {len(unsettled)} replies are empty beside a filled reasoning_content: the server takes the "
            "answer for reasoning. Start it with the --reasoning-parser of this model, or with none."
        )
    elif unread > MOST_UNDECIDED * len(unsettled):
        advice.append(
            f"{unread} of {len(unsettled)} replies hold no verdict: where they are cut off, raise judging.max_tokens; "
            "where the server takes JSON schemas, keep llm.roles.judge.structured on; else take another model."
        )
    if job.false_accepts:
        advice.append(f"It lets pass: {_count_by_category(unsettled)}. Take a stronger model (llm.roles.judge.model).")
    if trust is not Trust.YES and any(len(set(one.by_model.votes)) > 1 for one in judged):
        advice.append("Its votes differ on the same answer: more of them (judging.votes) steady it.")
    advice += _compare_languages(unsettled)
    if rules.false_accepts <= job.false_accepts and rules.right >= job.right:
        advice.append(
            f"The rules alone give {rules.right} answers the verdict that they deserve, accept {rules.false_accepts} "
            "wrong ones, and cost no call: judging.judge=rules."
        )
    if job.deserve_incorrect < ENOUGH_WRONG:
        advice.append(
            f"{job.deserve_incorrect} wrong answers are few: label more of your own and name them with --pairs."
        )
    return advice


def _count_by_category(unsettled: Sequence[Judged]) -> str:
    passed: dict[str, int] = defaultdict(int)
    for one in unsettled:
        if (one.label, one.by_model.verdict) == (Verdict.INCORRECT, Verdict.CORRECT):
            passed[one.labelled.category] += 1
    return ", ".join(f"{category} {n}" for category, n in sorted(passed.items(), key=lambda item: (-item[1], item[0])))


def _compare_languages(unsettled: Sequence[Judged]) -> list[str]:
    shares = {}
    for lang in sorted({one.labelled.lang for one in unsettled}):
        score = score_verdicts(
            (one for one in unsettled if one.labelled.lang == lang), lambda one: one.by_model.verdict
        )
        shares[lang] = _divide(score.right, score.count)
    if not shares:
        return []
    best, worst = max(shares, key=lambda lang: shares[lang]), min(shares, key=lambda lang: shares[lang])
    if shares[best] - shares[worst] <= LANGUAGE_GAP:
        return []
    return [f"It is weaker in {worst} ({shares[worst]:.0%} right) than in {best} ({shares[best]:.0%})."]


def bound_share(count: int, total: int) -> float:
    """The upper end of the 95% interval of Wilson (1927) for a share; 1 when nothing was counted."""
    if not total:
        return 1.0
    share, square = count / total, Z95**2
    centre = share + square / (2 * total)
    margin = Z95 * math.sqrt(share * (1 - share) / total + square / (4 * total**2))
    return min(1.0, (centre + margin) / (1 + square / total))


def _divide(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
