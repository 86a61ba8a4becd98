"""Models of the roles, as named in rows and ids."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.errors import ConfigError
from schemas.llm_config import LlmConfig, RoleModelConfig


def describe_models(models: Mapping[str, RoleModelConfig], roles: tuple[str, ...]) -> dict[str, dict[str, object]]:
    """The settings of each role that are set; `default` applies to a role without its own."""
    chosen = {role: models.get(role, models.get("default")) for role in roles}
    return {role: model.model_dump(mode="json", exclude_none=True) for role, model in chosen.items() if model}


def name_models(models: Mapping[str, dict[str, object]]) -> str:
    """Their names for a row, each once."""
    return ", ".join(sorted({str(model["model"]) for model in models.values()}))


def find_role(config: LlmConfig, role: str) -> RoleModelConfig:
    """The model of a role. Raises ConfigError when neither it nor `default` is configured."""
    model = config.roles.get(role) or config.roles.get("default")
    if model is None:
        raise ConfigError(f"no model plays the role {role}", f"set llm.roles.{role}.model, or llm.roles.default.model")
    return model
