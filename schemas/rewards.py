"""Rewards: names of the reward functions, the judge endpoint, and reasons for a reward of 0."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field

from schemas.custom_parts import COMPONENT
from schemas.llm_config import ServerConfig


class RewardName(StrEnum):
    """Reward functions. Each returns a value from 0 to 1; answers to several gaps are scored separately and averaged.

    The first five make up MaskSearch's format and answer rewards (arXiv 2505.20285): the answer counts only in the
    correct format.
    """

    FORMAT = "format"
    """1 when the strict parser of the rendering reads the completion, else 0."""
    RECALL = "recall"
    """Share of the gold's tokens in the answer: the first reward of MaskSearch, which was gamed by padding."""
    F1 = "f1"
    """Token F1."""
    EM = "em"
    """Equal after normalisation."""
    JUDGE = "judge"
    """A language model judges the answer correct: the last and most stable reward of MaskSearch."""
    RESEARCH = "research"
    """ReSearch (arXiv 2503.19470): 0 for a broken format, F1 when it is above 0, else 0.1."""
    SEARCH_R1 = "search-r1"
    """Search-R1 v0.3 (arXiv 2505.15117): correct 1, or 0.8 with a broken format; incorrect 0.2, 0.3 with a gold among
    the results, 0.1 with a broken format."""
    ZEROSEARCH = "zerosearch"
    """ZeroSearch (arXiv 2505.04588): F1, regardless of format."""


def read_reward(name: str) -> RewardName | str:
    """Return the reward function of that name, or the name itself if it is MODULE:FUNCTION. Raises ValueError."""
    if re.match(COMPONENT, name):
        return name
    if name not in list(RewardName):
        raise ValueError(f"no reward of that name; use one of {', '.join(RewardName)}, or MODULE:FUNCTION of your own")
    return RewardName(name)


Reward = Annotated[str, AfterValidator(read_reward)]
"""Reward function: one of rampforge, or MODULE:FUNCTION of the user, called as
`function(completion, answers, golds, question)`; it returns a number from 0 to 1."""


class GamingReason(StrEnum):
    """Ways of gaming the reward without solving the task."""

    NO_ANSWER = "no_answer"
    SEVERAL_ANSWERS = "several_answers"
    TEXT_AFTER_ANSWER = "text_after_answer"
    UNCLOSED_TAG = "unclosed_tag"
    WRITTEN_RESULTS = "written_results"
    WRITTEN_TURN = "written_turn"
    COPIED_PROMPT = "copied_prompt"
    ENUMERATED = "enumerated"
    HEDGED = "hedged"
    REPEATED = "repeated"
    PADDED = "padded"


class JudgeEndpoint(ServerConfig):
    """Server and model of the judge reward."""

    model: str = Field(min_length=1)
    """Name of the model on the server."""
    votes: int = Field(default=1, ge=1, le=15)
    """Verdicts requested for each answer; a majority decides."""
    temperature: float = Field(default=0.0, ge=0, le=2)
    """Sampling temperature of verdicts; use more than 0 with several votes."""
    max_tokens: int = Field(default=512, ge=16)
    """Maximum tokens of a verdict."""
    in_flight: int = Field(default=64, ge=1)
    """Concurrent requests of one process."""
    tries: int = Field(default=4, ge=1)
    """Maximum tries at one request, after which its answer has no verdict."""
    max_wait: float = Field(default=8.0, gt=0)
    """Maximum pause between two tries, in seconds."""
    deadline: float = Field(default=60.0, gt=0)
    """Timeout of a request in seconds."""
