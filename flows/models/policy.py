"""A trained model as a policy: its tokenizer from its folder, its tokens from a server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from flows.configuration.run_context import RunContext
from pipeline.assets.store import resolve_model
from pipeline.errors import ConfigError
from pipeline.rollouts.model_fingerprint import fingerprint_model
from pipeline.storage.run_folder import RunFolder
from schemas.config import RunConfig

DAY = "day"
"""Key of the day on which an evaluation began, in its ledger."""


def plays_policy(config: RunConfig) -> bool:
    """Whether a trained model attempts the tasks."""
    return config.agents.policy == "policy"


def locate_policy(config: RunConfig, cache: Path) -> str:
    """The folder, or hub name, of the model that is to attempt tasks. Raises ConfigError, AssetError."""
    name = config.policy.model or config.serving.model
    if name is None:
        raise ConfigError(
            "agents.policy is policy, and no model is named",
            "set policy.model to the model's folder: its tokenizer makes the prompts",
        )
    return str(resolve_model(name, cache))


def load_tokenizer(where: str) -> tuple[Any, str]:
    """A model's tokenizer and its digest. Raises ConfigError, ChatTemplateError."""
    from pipeline.rendering.token_masks import digest_tokenizer
    from pipeline.rollouts import tokenizer as tokenizers

    tokenizer = tokenizers.open_tokenizer(where)
    return tokenizer, digest_tokenizer(tokenizer)


def open_tokenizer(context: RunContext, where: str) -> tuple[Any, str]:
    """The same, loaded once a process."""
    return context.resources.keep("tokenizer", where, lambda: load_tokenizer(where))


def policy_facts(context: RunContext) -> Mapping[str, str]:
    """Fingerprint inputs of a policy: the relevant keys of the section `policy`, its weights and its tokenizer."""
    if not plays_policy(context.config):
        return {}
    where = locate_policy(context.config, context.cache)
    settings = {"name": context.config.policy.name, **context.config.policy.drawing}
    keys = {f"policy.{key}": json.dumps(value) for key, value in settings.items()}
    return {**keys, "policy weights": name_weights(where), "policy tokenizer": open_tokenizer(context, where)[1]}


def read_day(run: RunFolder) -> date:
    """Return the day on which a run or an evaluation began, which the chat template writes into prompts."""
    from pipeline.evaluation.evaluation_stage import STAGE

    record, start = run.find_record(), run.find_start(STAGE)
    began = start.settings.get(DAY) if start else None
    return (record.day if record else None) or (date.fromisoformat(began) if began else date.today())


def name_weights(where: str) -> str:
    """The fingerprint of a model folder; a hub name as it is."""
    return fingerprint_model(Path(where)) if Path(where).is_dir() else where
