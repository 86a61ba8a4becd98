"""Minimal requests of each role: the body of the role's own requests, with one token.

Guarantees: temperature, parameter names, schema and stop strings are those of the role's own requests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipeline.llm.chat_model import ChatRequest, Message
from pipeline.llm.chat_protocol import make_body
from pipeline.llm.roles import find_role
from pipeline.search.simulated.source import TEMPERATURE as SIMULATOR_TEMPERATURE
from prompts.replies import ANSWER, EXTRACT, OBSERVE, PLAN, REWRITE, ReplyContract
from prompts.replies import JUDGE as VERDICT
from schemas.config import RunConfig
from schemas.llm_config import RoleModelConfig
from schemas.roles import AGENT_ROLES, Role

PLANNER, REWRITER, OBSERVER = AGENT_ROLES
CONTRACTS: dict[str, ReplyContract[Any]] = {
    PLANNER: PLAN,
    REWRITER: REWRITE,
    OBSERVER: OBSERVE,
    Role.EXTRACTOR: EXTRACT,
    Role.JUDGE: VERDICT,
    Role.ANSWERER: ANSWER,
}
"""Reply contracts of the roles that reply with JSON."""
CAPS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
"""Names that servers give to the maximum length of a reply."""
WORDS = (Message("user", "Answer with one word: OK."),)
TOKENS = (1, 2, 3)
"""Prompt for models that take tokens; every vocabulary has these."""


def write_request(config: RunConfig, role: str) -> ChatRequest:
    """Write a request as the role would send it, with a short prompt."""
    if role == Role.POLICY:
        policy = config.policy
        return ChatRequest(
            role, (), temperature=policy.temperature, top_p=policy.top_p, max_tokens=policy.max_turn, prompt_ids=TOKENS
        )
    temperature, longest = _SAMPLING.get(role, _sample_agents)(config)
    contract = CONTRACTS.get(role)
    top_p = config.policy.top_p if role == Role.CLOSED_BOOK else None
    schema = contract.schema if contract else None
    return ChatRequest(role, WORDS, temperature=temperature, max_tokens=longest, top_p=top_p, schema=schema)


def _sample_agents(config: RunConfig) -> tuple[float, int]:
    return config.agents.temperature, config.agents.max_tokens


_SAMPLING: dict[str, Callable[[RunConfig], tuple[float, int]]] = {
    Role.EXTRACTOR: lambda config: (0.0, config.masking.extractor_tokens),
    Role.JUDGE: lambda config: (config.judging.temperature, config.judging.max_tokens),
    Role.SIMULATOR: lambda config: (SIMULATOR_TEMPERATURE, config.search.simulated.max_tokens),
    Role.CLOSED_BOOK: lambda config: (config.policy.temperature, config.policy.max_turn),
}
"""Temperature and maximum length of a reply where `llm.roles` does not set them."""


def shorten(model: RoleModelConfig) -> RoleModelConfig:
    """Return the same model, limited to one token under the name that its server uses for the limit."""
    extra = {name: 1 if name in CAPS and isinstance(value, int) else value for name, value in model.extra.items()}
    return model.model_copy(update={"max_tokens": 1, "extra": extra})


def count_longest(config: RunConfig, role: str) -> int:
    """Return the tokens of the longest reply of the role; 0 where the server decides."""
    body = make_body(find_role(config.llm, role), write_request(config, role))
    return max((value for name in CAPS if isinstance(value := body.get(name), int)), default=0)
