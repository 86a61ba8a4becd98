"""Weights behind a model's name, where this machine can determine them."""

from __future__ import annotations

from pathlib import Path

from flows.models.policy import locate_policy, name_weights, plays_policy
from flows.models.roles import find_hosts
from flows.models.serving import MANAGED
from pipeline.assets.store import resolve_model
from pipeline.errors import RampforgeError
from pipeline.llm.roles import find_role
from schemas.config import RunConfig
from schemas.roles import Role

REVISIONS = ("--revision", "--code-revision", "--quantization", "--lora-modules")
"""Arguments of a server that change the weights behind a name."""


def name_role_weights(config: RunConfig, cache: Path, role: str) -> str | None:
    """An identity of the weights that play a role: a fingerprint of a folder on this machine, or a name on the hub;
    None where only the server knows it, or where the model's name is the identity. `cache`: folder of the assets.

    Raises ConfigError for a role without a model."""
    model = find_role(config.llm, role).model
    try:
        found = _find_weights(config, cache, role, model)
    except RampforgeError:  # a folder whose files are of another make, or that is read on the server's machine alone
        return None
    return None if found == model else found


def _find_weights(config: RunConfig, cache: Path, role: str, model: str) -> str | None:
    serving = config.serving
    if role == Role.POLICY and plays_policy(config):
        return name_weights(locate_policy(config, cache))
    if MANAGED in find_hosts(config, role) and serving.model and model == (serving.name or serving.model):
        weights = name_weights(str(resolve_model(serving.model, cache)))
        return " ".join((weights, *_pick_revisions(serving.arguments)))
    return name_weights(model) if Path(model).is_dir() else None


def _pick_revisions(arguments: tuple[str, ...]) -> list[str]:
    """Those arguments, with their values."""
    picked = []
    for number, argument in enumerate(arguments):
        name, _, value = argument.partition("=")
        if name in REVISIONS:
            picked += [name, value or "".join(arguments[number + 1 : number + 2])]
    return picked
