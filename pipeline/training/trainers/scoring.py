"""Scoring of completions by `pipeline.rewards`: the same formulas that verl and the users of an export get."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.rewards.formulas import RewardInput, assess
from pipeline.rewards.overlong import penalise_length
from pipeline.rewards.trainers import AnswerJudge, pay_all
from pipeline.rollouts.search_rollout import Completion
from schemas.training import RlRequest


def score_completions(completions: Sequence[Completion], request: RlRequest, judge: AnswerJudge | None) -> None:
    """Write reward, format, rightness and penalty into the completions; an invalid reward is None, not 0."""
    rollouts = request.rollouts
    items = []
    for one in completions:
        asked = RewardInput(rollouts.rendering, one.task.lang, one.task.question, one.task.golds)
        items.append((asked, assess(asked, one.stream, one.observations)))
    paid = pay_all(rollouts.reward, items, (lambda: judge) if judge else None, rollouts.format_credit)
    for one, (_, assessed), (reward, right, valid) in zip(completions, items, paid, strict=True):
        one.in_form = float(assessed.in_form)
        one.penalty = penalise_length(one.own_tokens, *request.own_tokens)
        one.right = right
        one.reward = reward if valid else None
