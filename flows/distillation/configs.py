"""Configurations of the runs of a distillation, all derived from its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flows.stages.registry import find_spec, list_roles, list_round_stages
from flows.stages.spec import RoundPart
from schemas.config import RunConfig
from schemas.llm_config import RoleModelConfig
from schemas.roles import Role
from schemas.serving_config import ServingMode

POLICY = Role.POLICY.value
TAUGHT = (POLICY, Role.CLOSED_BOOK.value)
"""Roles played by a teacher."""
UNTRAINED, STUDENT = "untrained", "student"
"""Names of the base model and the student when they attempt held-out tasks."""
SHARED = list_round_stages(RoundPart.SHARED)
"""Stages shared by all rounds."""
ATTEMPTED = list_round_stages(RoundPart.ROUND)
"""Stages that each round and each validation adds to the shared ones."""
TAUGHT_STAGES = list_round_stages(RoundPart.ROUND, RoundPart.TAUGHT)
"""Stages that a round adds if a teacher attempts its tasks."""


def name_teacher(number: int) -> str:
    """Return the name of a round's teacher in trajectories."""
    return f"teacher-r{number}"


def configure_tasks(config: RunConfig, mask_counts: Sequence[int]) -> RunConfig:
    """Configure a run that makes tasks with these numbers of masks."""
    return config.with_section("masking", mask_counts=tuple(mask_counts))


def configure_round(config: RunConfig, number: int, teacher: int) -> RunConfig:
    """Configure the run of a round; `teacher`: the round whose teacher attempts its tasks, 0 for
    the configured agents.
    """
    tasked = configure_tasks(config, config.distill.masks_of(number))
    if not teacher:
        return tasked
    named = tasked.with_section("policy", name=name_teacher(teacher), difficulties=True)
    return _play(named, config.distill.attempts)


def configure_validation(config: RunConfig, name: str) -> RunConfig:
    """Configure the run in which a model attempts the held-out tasks: one greedy attempt at each."""
    tasked = configure_tasks(config, config.distill.validation.mask_counts)
    named = tasked.with_section("policy", name=name, temperature=0.0, closed_book=0, difficulties=False)
    return _play(named, 1)


def configure_teacher(config: RunConfig) -> RunConfig:
    """Configure the serving of teachers: the managed server serves no other role meanwhile."""
    played = _play(config, config.distill.attempts)
    roles = tuple(role for role in config.serving.roles if role in TAUGHT) or TAUGHT
    return played.with_section("serving", roles=roles)


def _play(config: RunConfig, attempts: int) -> RunConfig:
    """Configure attempts by a trained model."""
    role = config.llm.roles.get(POLICY) or RoleModelConfig(model=config.serving.name or "teacher")
    played = config.with_section("agents", policy=POLICY, attempts=attempts)
    return played.with_section("llm", roles={**config.llm.roles, POLICY: role})


def leave_server(config: RunConfig, stages: Sequence[str]) -> RunConfig:
    """Remove the managed server from the configuration, unless it serves a role of these stages."""
    serving = config.serving
    needed = list_roles(config, [find_spec(stage) for stage in stages])
    if serving.mode is ServingMode.EXTERNAL or any(not serving.roles or role in serving.roles for role in needed):
        return config
    return config.with_section("serving", mode=ServingMode.EXTERNAL)


def locate_base(config: RunConfig, cache: Path) -> Path:
    """Return the model that teachers are trained from. Raises AssetError."""
    from pipeline.assets.store import resolve_model

    return Path(resolve_model(config.distill.base, cache))
