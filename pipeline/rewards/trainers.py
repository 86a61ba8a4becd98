"""Rewards in the shapes that trainers call: TRL's reward functions and verl's `compute_score`.

Columns of TRL and fields of verl, the same for both; values may be plain, numpy arrays, or JSON as text:
- `golds`, in verl `ground_truth` or its key `target`: for each answer wanted a list of its right forms; a flat list of
  texts is the forms of a single answer, as Search-R1 has it;
- `rendering`, `lang`, `question` (in verl within `extra_info`): default search-r1, en, and nothing;
- `observations`, where the rollout tells them: for each completion the texts that it put in.

Promises: a row without golds is an error and not a zero; what cannot be scored because of a fault is None in TRL (which
leaves it out of the group when no other function scores it) and `valid` 0 in verl.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from pipeline.components import load_component
from pipeline.errors import ConfigError
from pipeline.rewards.completions import Completion
from pipeline.rewards.custom_reward import call_reward
from pipeline.rewards.formulas import Assessed, RewardInput, assess, measure_answer, pay
from pipeline.rewards.overlong import penalise_length
from schemas.renderings import RenderingName
from schemas.rewards import Reward, RewardName

REWARD_KEY = "reward"
TrlReward = Callable[..., list[float | None]]


class AnswerJudge(Protocol):
    """Judge of answers in completions."""

    def judge(self, items: Sequence[tuple[RewardInput, Assessed]]) -> list[tuple[bool | None, ...]]:
        """Return for each answer True, False, or None without a verdict."""
        ...


def make_trl_reward(
    reward: Reward, judge: Callable[[], AnswerJudge] | None = None, format_credit: float = 0.0
) -> TrlReward:
    """Make a reward function for TRL, named after its reward. `judge` opens the judge at first use.

    Raises ConfigError for MODULE:FUNCTION that cannot be imported.
    """
    if not isinstance(reward, RewardName):
        load_component(REWARD_KEY, reward)  # at the start, not after the first rollouts

    def give(prompts: Sequence[Any], completions: Sequence[Completion], **columns: Any) -> list[float | None]:
        shown = columns.get("observations") or [None] * len(completions)
        items = []
        for number, completion in enumerate(completions):
            asked = read_row(columns["golds"][number] if "golds" in columns else None, _pick(columns, number))
            items.append((asked, assess(asked, completion, _read_texts(shown[number]))))
        return [score if valid else None for score, _, valid in pay_all(reward, items, judge, format_credit)]

    give.__name__ = f"{reward.rpartition(':')[2].replace('-', '_')}_reward"
    return give


def make_trl_overlong(most: int, buffer: int) -> TrlReward:
    """Make DAPO's soft penalty for TRL, from the column `own_tokens`, which the rollout returns beside `env_mask`."""
    penalise_length(0, most, buffer)

    def overlong_penalty(completions: Sequence[Completion], **columns: Any) -> list[float | None]:
        counts = columns.get("own_tokens") or [None] * len(completions)
        return [penalise_row(count, most, buffer) for count in counts]

    return overlong_penalty


def penalise_row(own_tokens: Any, most: int, buffer: int) -> float:
    """Return the penalty of one row. Raises ConfigError when its own tokens were not counted."""
    if own_tokens is None:
        raise ConfigError(
            "the rollout does not return the number of the model's own tokens",
            "return own_tokens with each completion (TRL: beside env_mask; verl: in the agent loop's extra_fields)",
        )
    return penalise_length(int(own_tokens), most, buffer)


def score_for_verl(
    reward: Reward,
    solution: Completion,
    ground_truth: Any,
    extra_info: Mapping[str, Any] | None,
    judge: Callable[[], AnswerJudge] | None,
    format_credit: float,
) -> dict[str, float]:
    """Return the result of verl's `compute_score`: `score`, `acc`, `fmt`, `gamed` and `valid`, all numbers."""
    extra = extra_info or {}
    golds = extra.get("golds")  # as in rampforge's exports, exact also where `target` is made for another scorer
    asked = read_row(ground_truth if golds is None else golds, extra)
    assessed = assess(asked, solution, _read_texts(extra.get("observations")))
    ((score, right, valid),) = pay_all(reward, [(asked, assessed)], judge, format_credit)
    return {
        "score": score,
        "acc": right,
        "fmt": float(assessed.in_form),
        "gamed": float(assessed.gaming is not None),
        "valid": float(valid),
    }


def read_row(golds: Any, fields: Mapping[str, Any]) -> RewardInput:
    """Return a row of a trainer's data. Raises ConfigError for one without golds or with an unknown rendering."""
    value = _decode(golds)
    if isinstance(value, Mapping):
        value = _decode(value.get("target", value.get("golds")))
    forms = [] if value is None else list(_as_list(value))
    if forms and all(isinstance(form, str) for form in forms):
        forms = [forms]
    found = tuple(tuple(str(form) for form in _as_list(each)) for each in forms)
    if not found or not all(each and each[0].strip() for each in found):
        raise ConfigError(
            "a row has no gold answers to reward", "put lists of right forms into the column golds (verl: ground_truth)"
        )
    name = str(_take(fields, "rendering") or RenderingName.SEARCH_R1)
    if name not in list(RenderingName):
        raise ConfigError(f"no rendering {name}", f"use one of {', '.join(RenderingName)}")
    question, lang = _take(fields, "question"), _take(fields, "lang")
    return RewardInput(RenderingName(name), str(lang or "en"), str(question or ""), found)


def pay_all(
    reward: Reward,
    items: Sequence[tuple[RewardInput, Assessed]],
    judge: Callable[[], AnswerJudge] | None,
    format_credit: float,
) -> list[tuple[float, float, bool]]:
    """Return for each item its reward, how right it is, and whether both are valid.

    Without a verdict of the judge, or when a function of the user fails, they are not. Raises ConfigError.
    """
    if not isinstance(reward, RewardName):
        function = load_component(REWARD_KEY, reward)
        return [call_reward(function, asked, one) for asked, one in items]
    if reward is not RewardName.JUDGE:
        return [(pay(reward, one, (), format_credit), _rate(reward, one), True) for _, one in items]
    owed = [item for item in items if item[1].in_form]
    if owed and judge is None:
        raise ConfigError("the judge reward has no judge", "set its server and model: judge_url, judge_model")
    verdicts = iter(judge().judge(owed) if owed and judge else ())
    paid = []
    for _, one in items:
        said = next(verdicts) if one.in_form else (False,) * len(one.scores)
        right = [verdict for verdict in said if verdict is not None]
        valid = len(right) == len(said)
        paid.append(
            (pay(reward, one, right, format_credit), _rate(reward, one, right), True) if valid else (0.0, 0.0, False)
        )
    return paid


def _rate(reward: RewardName, assessed: Assessed, judged: Sequence[bool] = ()) -> float:
    return 0.0 if assessed.gaming is not None else measure_answer(reward, assessed, judged)


def _pick(columns: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Return one row's fields of columns; a single value applies to all rows."""
    given = ((name, columns.get(name)) for name in ("rendering", "lang", "question"))
    return {name: value if value is None or isinstance(value, str) else value[number] for name, value in given}


def _take(fields: Mapping[str, Any], name: str) -> Any:
    value: Any = fields.get(name)
    return value.item() if hasattr(value, "item") else value


def _decode(value: Any) -> Any:
    """Decode a value from JSON if it is an object, or a list of texts or lists, as text."""
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            found = json.loads(value)
        except ValueError:
            return value
        return found if isinstance(found, dict) or all(isinstance(each, str | list) for each in found) else value
    return value


def _as_list(value: Any) -> Iterable[Any]:
    return [value] if isinstance(value, str) else value


def _read_texts(value: Any) -> tuple[str, ...] | None:
    found = _decode(value)
    return None if found is None else tuple(map(str, _as_list(found)))
