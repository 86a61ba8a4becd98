"""Reward formulas, applied after the gaming filter.

Guarantees: between 0 and 1; 0 for everything that the filter stops; for one answer exactly the formula of the paper
named in `schemas.rewards.RewardName`, for several the same formula over the mean of their scores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from pipeline.judging.order_free import align_answers
from pipeline.judging.scoring import GoldForm, Scores, equals_gold, read_gold, score_answer
from pipeline.rewards.completions import Completion, Reading, read_completion
from pipeline.rewards.gaming import find_gaming
from pipeline.text.normalisation import fold_text, holds_tokens
from schemas.renderings import RenderingName
from schemas.rewards import GamingReason, RewardName
from schemas.tasks import Span, SpanKind, SpanSource

RESEARCH_FLOOR = 0.1
RIGHT_OUT_OF_FORM, WRONG_OUT_OF_FORM = 0.8, 0.1
STRUCTURE, RETRIEVAL = 0.2, 0.1


@dataclass(frozen=True, slots=True)
class RewardInput:
    """Question and gold answers of a completion."""

    rendering: RenderingName
    """Format that the policy was asked to write."""
    lang: str
    """Language of the question."""
    question: str
    """Question without the instructions of the format, as `schemas.renderings.Question.text`; may be empty."""
    golds: tuple[tuple[str, ...], ...]
    """Right forms of each answer, the gold first, then aliases."""


@dataclass(frozen=True, slots=True)
class Assessed:
    """Completion, measured by rules."""

    reading: Reading
    """Parsed completion."""
    gaming: GamingReason | None
    """Reason for a reward of 0, or None."""
    scores: tuple[Scores, ...]
    """One for each answer requested; zeros where there is none."""
    golds: tuple[tuple[GoldForm, ...], ...]
    """Right forms of each answer."""

    @property
    def in_form(self) -> bool:
        """Return whether the format is correct and nothing is gamed."""
        return self.reading.in_form and self.gaming is None


def assess(row: RewardInput, completion: Completion, observations: Sequence[str] | None = None) -> Assessed:
    """Measure a completion. `observations`: texts inserted by the environment, in order, if known."""
    reading = read_completion(row.rendering, row.lang, len(row.golds), completion)
    spans, golds = zip(*map(_fold_golds, row.golds), strict=True)
    gaming = find_gaming(reading, golds, _fold_question(row.question), observations)
    answers = align_answers(
        row.question,
        reading.answers or (None,) * len(golds),
        lambda answer, mask: equals_gold(fold_text(answer), golds[mask]),
    )
    scores = tuple(
        score_answer(fold_text(answer or ""), forms, span)
        for answer, forms, span in zip(answers, golds, spans, strict=True)
    )
    return Assessed(reading, gaming, scores, golds)


def pay(reward: RewardName, assessed: Assessed, judged: Sequence[bool] = (), format_credit: float = 0.0) -> float:
    """Return the reward of a completion.

    Args: reward: The reward function. assessed: The completion, measured. judged: For `judge`: whether each answer was
    judged correct. format_credit: For recall, F1, EM and judge: reward for correct format alone.
    """
    if assessed.gaming is not None:
        return 0.0
    return _FORMULAS[reward](assessed) if reward in _FORMULAS else _pay_in_form(reward, assessed, judged, format_credit)


def measure_answer(reward: RewardName, assessed: Assessed, judged: Sequence[bool] = ()) -> float:
    """Return how right the answers are by the measure of a reward, regardless of format and gaming."""
    if reward is RewardName.JUDGE:
        return _average(list(map(float, judged)))
    if reward is RewardName.RECALL:
        return _average([score.recall for score in assessed.scores])
    exact = reward in (RewardName.EM, RewardName.SEARCH_R1)
    return _average([float(score.exact) if exact else score.f1 for score in assessed.scores])


def _pay_in_form(reward: RewardName, assessed: Assessed, judged: Sequence[bool], credit: float) -> float:
    if not assessed.in_form:
        return 0.0
    return credit + (1 - credit) * measure_answer(reward, assessed, judged)


def _pay_research(assessed: Assessed) -> float:
    if not assessed.in_form:
        return 0.0
    return measure_answer(RewardName.F1, assessed) or RESEARCH_FLOOR


def _pay_search_r1(assessed: Assessed) -> float:
    right = measure_answer(RewardName.EM, assessed)
    least, most = WRONG_OUT_OF_FORM, RIGHT_OUT_OF_FORM
    if assessed.in_form:
        # Parsing the results again is most of the work, and their content is irrelevant once the answer is right.
        least, most = STRUCTURE + (RETRIEVAL * _measure_found(assessed) if right < 1 else 0.0), 1.0
    return least * (1 - right) + most * right


_FORMULAS: dict[RewardName, Callable[[Assessed], float]] = {
    RewardName.FORMAT: lambda assessed: float(assessed.in_form),
    RewardName.RESEARCH: _pay_research,
    RewardName.SEARCH_R1: _pay_search_r1,
    RewardName.ZEROSEARCH: lambda assessed: measure_answer(RewardName.F1, assessed),
}


def _average(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _measure_found(assessed: Assessed) -> float:
    """Return the share of the golds that occur in some observation."""
    shown = [_fold_shown(line) for text in assessed.reading.observations for line in text.split("\n")]
    hits = (any(holds_tokens(text, form.folded) for text in shown for form in forms) for forms in assessed.golds)
    return _average([float(hit) for hit in hits])


@lru_cache(maxsize=8192)
def _fold_golds(forms: tuple[str, ...]) -> tuple[Span, tuple[GoldForm, ...]]:
    """Fold the golds once: every completion of a group is compared with the same ones."""
    text, *aliases = forms
    span = Span(
        start=0,
        end=len(text),
        text=text,
        kind=SpanKind.TERM,
        label="gold",
        source=SpanSource.RULE,
        target=None,
        aliases=tuple(aliases),
        perplexity=None,
    )
    return span, read_gold(span)


# The completions of a group, and those of the next epoch, are shown many of the same documents, one a line.
_fold_shown = lru_cache(maxsize=8192)(fold_text)


@lru_cache(maxsize=1024)
def _fold_question(question: str) -> str:
    return fold_text(question)
