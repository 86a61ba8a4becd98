"""Rewards for trainers, in one module that needs no more of rampforge than its source on PYTHONPATH.

TRL: `GRPOTrainer(reward_funcs=[search_r1_reward, ...])`, the functions below.
verl: `reward.custom_reward_function.path=.../flows/trainer_rewards.py` and `.name=compute_score`; which reward it is,
and the judge's server, stand in `+reward.custom_reward_function.reward_kwargs.reward=f1`, `.judge_url=...`.
A reward of your own: `make_trl_reward("my_module:my_reward")`, or `reward_kwargs.reward=my_module:my_reward`.

Beside the standard library it needs pydantic, rapidfuzz and, from the first Chinese character on that a question, a
result or a policy holds, opencc-python-reimplemented; the judge also openai[aiohttp], orjson and tenacity.

The judge's server may be named in the environment, which workers of a trainer inherit: RAMPFORGE_JUDGE_URL,
RAMPFORGE_JUDGE_MODEL, and RAMPFORGE_JUDGE_KEY for the NAME of the variable that holds its key. A key that a command
prints and further headers are `reward_kwargs.judge_key_command` and `judge_headers`, as in `llm.endpoints`.

A completion may be messages or one text, special tokens included. In renderings with tools, calls in the text are read
in the notations of the chat templates of Qwen, Hermes, GLM, Nemotron, gpt-oss, Gemma 4, LFM2, Kimi, DeepSeek V3.2, V4
and MiniMax.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from pipeline.errors import ConfigError
from pipeline.rewards.trainers import AnswerJudge, make_trl_overlong, make_trl_reward, penalise_row, score_for_verl
from schemas.rewards import JudgeEndpoint, RewardName, read_reward

if TYPE_CHECKING:
    from pipeline.rewards.judge_reward import JudgeReward

FORMAT_CREDIT = 0.2
"""Reward for correct format in verl, which accepts a single number; TRL weights functions instead
(`reward_weights`)."""


def open_configured_judge(options: Mapping[str, Any] | None = None) -> AnswerJudge:
    """Open the judge of `judge_url`, `judge_model`, `judge_key`, `judge_headers`, ... or else of the environment.

    `options`: fields of `JudgeEndpoint`; objects and lists may be JSON text. Raises ConfigError if neither gives a
    server and a model, or for a field that is not valid.
    """
    given = {name.removeprefix("judge_"): _decode(value) for name, value in (options or {}).items()}
    for name in ("url", "model", "key"):
        given.setdefault(name, os.environ.get(f"RAMPFORGE_JUDGE_{name.upper()}") or None)
    if not given["url"] or not given["model"]:
        raise ConfigError(
            "the judge reward has no judge", "export RAMPFORGE_JUDGE_URL=http://HOST:PORT/v1 RAMPFORGE_JUDGE_MODEL=NAME"
        )
    try:
        return _open_once(JudgeEndpoint.model_validate(given).model_dump_json())
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise ConfigError(f"judge_{where}: {fault['msg']}", "correct it in reward_kwargs") from None


def _decode(value: Any) -> Any:
    """Return the object or list that a text holds as JSON, or the value itself."""
    if not isinstance(value, str) or value[:1] not in ("[", "{"):
        return value
    with suppress(ValueError):
        return json.loads(value)
    return value


@lru_cache(maxsize=8)  # one thread, one set of connections and one cache of verdicts per process
def _open_once(endpoint: str) -> JudgeReward:
    from pipeline.rewards.judge_reward import open_judge

    return open_judge(JudgeEndpoint.model_validate_json(endpoint))


format_reward = make_trl_reward(RewardName.FORMAT)
recall_reward = make_trl_reward(RewardName.RECALL)
f1_reward = make_trl_reward(RewardName.F1)
em_reward = make_trl_reward(RewardName.EM)
judge_reward = make_trl_reward(RewardName.JUDGE, open_configured_judge)
research_reward = make_trl_reward(RewardName.RESEARCH)
search_r1_reward = make_trl_reward(RewardName.SEARCH_R1)
zerosearch_reward = make_trl_reward(RewardName.ZEROSEARCH)
make_overlong_penalty = make_trl_overlong


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Mapping[str, Any] | None = None,
    *,
    reward: str = RewardName.F1,
    format_credit: float = FORMAT_CREDIT,
    overlong_most: int | None = None,
    overlong_buffer: int = 512,
    **options: Any,
) -> dict[str, float]:
    """Return verl's reward of one completion: `score`, `acc`, `fmt`, `gamed`, `valid`.

    With `overlong_most`, DAPO's penalty on the model's own tokens is added to the score. It reads `own_tokens`, which
    an agent loop puts into its `extra_fields`, as it does `observations`. verl 0.9.1 passes these on under its reward
    manager `naive`, not under `dapo`. `options` named `judge_...` configure the judge; others are ignored.

    Raises ConfigError for a row without golds, an unknown reward or a missing judge.
    """
    try:
        chosen = read_reward(reward)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    judging = {name: value for name, value in options.items() if name.startswith("judge_")}
    judge = partial(open_configured_judge, judging)
    scored = score_for_verl(chosen, solution_str, ground_truth, extra_info, judge, format_credit)
    if overlong_most is None:
        return scored
    penalty = penalise_row((extra_info or {}).get("own_tokens"), overlong_most, overlong_buffer)
    return {**scored, "score": scored["score"] + penalty, "overlong": penalty}
