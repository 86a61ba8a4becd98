"""Settles, before a run spends anything, what its models cost: the prices become part of its configuration."""

from __future__ import annotations

from collections.abc import Iterable

from flows.models.serving import SCORER
from flows.stages.registry import STAGES, list_roles
from pipeline.llm.budget import check_prices
from pipeline.llm.prices import pin_prices
from pipeline.llm.roles import find_role
from schemas.config import RunConfig


def list_chat_roles(config: RunConfig, stages: Iterable[str] = STAGES) -> tuple[str, ...]:
    """The roles that some stages ask for text, and so are counted and paid for, in the order of the stages."""
    return tuple(role for role in list_roles(config, (STAGES[name] for name in stages)) if role != SCORER)


def settle_prices(config: RunConfig, stages: Iterable[str]) -> RunConfig:
    """The configuration with the price of each model that these stages ask written out, as known now.

    A role without a model is left to the checks of a start, which name all that is missing. Raises ConfigError when
    money is capped and the price of a model is not known.
    """
    named = config.llm.roles
    roles = [role for role in list_chat_roles(config, stages) if role in named or "default" in named]
    check_prices(config.llm, roles)
    prices = pin_prices(config.llm.prices, (find_role(config.llm, role).model for role in roles))
    return config.model_copy(update={"llm": config.llm.model_copy(update={"prices": prices})})
