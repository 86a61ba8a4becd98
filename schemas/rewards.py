"""Rewards: what a completion is worth to a trainer, and what makes it worth nothing."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from schemas.record import Frozen
from schemas.secrets import VariableName


class RewardName(StrEnum):
    """The rewards; every one lies between 0 and 1, and answers to several gaps are scored one by one and averaged.

    The first five make up MaskSearch's format and answer rewards (arXiv 2505.20285): the answer counts
    where the format is kept.
    """

    FORMAT = "format"
    """1 when the strict parser of the rendering reads the completion, else 0."""
    RECALL = "recall"
    """Share of the gold's tokens in the answer: MaskSearch's first, which was gamed by padding."""
    F1 = "f1"
    """Token F1."""
    EM = "em"
    """Equal after normalisation."""
    JUDGE = "judge"
    """A language model finds the answer right: MaskSearch's last and most stable."""
    RESEARCH = "research"
    """ReSearch (arXiv 2503.19470): 0 for a broken format, F1 when it is above 0, else 0.1."""
    SEARCH_R1 = "search-r1"
    """Search-R1 v0.3 (arXiv 2505.15117): a right answer 1, with a broken format 0.8; a wrong one 0.2, with a gold among
    the results 0.3, with a broken format 0.1."""
    ZEROSEARCH = "zerosearch"
    """ZeroSearch (arXiv 2505.04588): F1, whatever the format."""


class GamingReason(StrEnum):
    """How a completion tries for reward without solving anything."""

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


class JudgeEndpoint(Frozen):
    """The server and model behind the judge reward."""

    url: str = Field(pattern=r"^https?://\S+$")
    """Base URL of a server that speaks the OpenAI protocol, such as http://127.0.0.1:8000/v1."""
    model: str = Field(min_length=1)
    """Name of the model, as the server knows it."""
    key: VariableName | None = None
    """NAME of the environment variable that holds the key."""
    votes: int = Field(default=1, ge=1, le=15)
    """Verdicts asked for each answer; more than half must agree."""
    temperature: float = Field(default=0.0, ge=0, le=2)
    """How verdicts are drawn; above 0 for several votes."""
    max_tokens: int = Field(default=512, ge=16)
    """Longest verdict."""
    in_flight: int = Field(default=64, ge=1)
    """Requests at once from one process."""
    tries: int = Field(default=4, ge=1)
    """Tries at one request before its answer goes without a verdict."""
    max_wait: float = Field(default=8.0, gt=0)
    """Longest pause between two tries, in seconds."""
    deadline: float = Field(default=60.0, gt=0)
    """Seconds after which a request is abandoned."""
