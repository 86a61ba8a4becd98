"""A reward function of the user, called after the gaming filter.

Guarantees: a gamed completion earns 0 and is not passed to the function. A function that raises, or returns something
else than a number from 0 to 1, makes the completion one without a valid reward, not one that earns 0.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from pipeline.rewards.formulas import Assessed, RewardInput, measure_answer
from schemas.rewards import RewardName

log = logging.getLogger(__name__)

RewardFunction = Callable[[str, Sequence[str | None], Sequence[Sequence[str]], str], float]
"""In: the text that the model wrote, without observations; its answers, None for one that is not there; the right forms
of each; the question. Out: a reward from 0 to 1."""


def call_reward(function: RewardFunction, asked: RewardInput, assessed: Assessed) -> tuple[float, float, bool]:
    """Return the reward of a completion, how right it is by token F1, and whether the reward is valid."""
    if assessed.gaming is not None:
        return 0.0, 0.0, True
    reading = assessed.reading
    answers = reading.answers or (None,) * len(asked.golds)
    try:
        reward = float(function(reading.own, answers, asked.golds, asked.question))
        if not 0 <= reward <= 1:
            raise ValueError(f"it returned {reward}, not a number from 0 to 1")
    except Exception as error:  # whatever the user's function raises
        log.warning("the reward function failed: %s: %s", type(error).__name__, error)
        return 0.0, 0.0, False
    return reward, measure_answer(RewardName.F1, assessed), True
