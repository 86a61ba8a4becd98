"""What completions are paid, by `pipeline.rewards`: the same formulas that verl and an export's user get."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.rewards.formulas import Assessed, RewardInput, assess, measure_answer, pay
from pipeline.rewards.overlong import penalise_length
from pipeline.rewards.trainers import AnswerJudge
from pipeline.rollouts.search_rollout import Completion
from schemas.rewards import RewardName
from schemas.training import RlRequest


def score_completions(completions: Sequence[Completion], request: RlRequest, judge: AnswerJudge | None) -> None:
    """Write reward, format, rightness and penalty into the completions; no verdict means no reward, not a zero."""
    rollouts = request.rollouts
    most, buffer = request.own_tokens
    items = []
    for one in completions:
        asked = RewardInput(rollouts.rendering, one.task.lang, one.task.question, one.task.golds)
        items.append((asked, assess(asked, one.text, one.observations)))
    verdicts = _judge([item for item in items if item[1].in_form], judge)
    for one, (_, assessed) in zip(completions, items, strict=True):
        said = next(verdicts) if judge and assessed.in_form else ()
        judged = [verdict for verdict in said if verdict is not None]
        one.in_form = float(assessed.in_form)
        one.penalty = penalise_length(one.own_tokens, most, buffer)
        if len(judged) < len(said):
            one.reward = None
            continue
        if rollouts.reward is RewardName.JUDGE and not said:
            judged = [False] * len(assessed.scores)
        one.right = 0.0 if assessed.gaming else measure_answer(rollouts.reward, assessed, judged)
        one.reward = pay(rollouts.reward, assessed, judged, rollouts.format_credit)


def _judge(
    items: Sequence[tuple[RewardInput, Assessed]], judge: AnswerJudge | None
) -> Iterator[tuple[bool | None, ...]]:
    return iter(judge.judge(items) if judge and items else ())
