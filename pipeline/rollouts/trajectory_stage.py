"""The stage that attempts tasks with a trained model: a trajectory an attempt, and its tokens beside it.

Promises: a trajectory depends on its task, the replies, the engine and the settings, never on what ran beside it; every
trajectory has its stream; an attempt whose prompt is too long, or that could not search, gives a reject with that
reason; a fault of the endpoint or a spent budget ends the work and leaves the task owed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.agents.trajectory_records import SEARCH_FAILED, Making, Trial, conclude_task, reject_attempt, sum_failures
from pipeline.llm.chat_model import RefusedRequestError
from pipeline.llm.gathering import gather_all
from pipeline.llm.structured_output import Price, TokenUsage
from pipeline.rendering.task_text import use_templates
from pipeline.rendering.transcript import ask
from pipeline.rollouts.policy_rollout import Play, PolicySolver
from pipeline.stage import Outcome
from schemas.funnel import Reject
from schemas.llm_config import RoleModelConfig
from schemas.policies import PolicyConfig
from schemas.streams import TokenStream
from schemas.tasks import MaskTask
from schemas.trajectories import HideMode, PromptUse, RoleUsage, StopReason, Trajectory

TEMPLATES = ("solve_tagged", "solve_words", "ask_ramp")


@dataclass(frozen=True, slots=True)
class PolicyFacts:
    """What attempts, as rows and ids name it."""

    model: RoleModelConfig
    """`llm.roles.policy`."""
    weights: str
    """Fingerprint of the model's files."""
    tokenizer: str
    """Digest of its tokenizer."""
    engine: str
    """Fingerprint of the search engine."""
    k: int
    """Passages shown for a step."""


def describe_policy(config: PolicyConfig, facts: PolicyFacts, prompts: tuple[PromptUse, ...]) -> Making:
    """How attempts of a trained model come about."""
    settings = {
        "k": facts.k,
        "model": facts.model.model_dump(mode="json", exclude_none=True),
        "weights": facts.weights,
        "tokenizer": facts.tokenizer,
        **config.drawing,
    }
    sampling = json.dumps(settings, sort_keys=True, ensure_ascii=False)
    return Making(config.name, facts.model.model, prompts, sampling, facts.engine)


class PolicyTrajectoryStage:
    """Attempts each task once for each hide mode and attempt number."""

    whole_shard = False

    def __init__(
        self,
        solver: PolicySolver,
        config: PolicyConfig,
        facts: PolicyFacts,
        hide: Sequence[HideMode],
        attempts: int,
        price: Price | None = None,
    ) -> None:
        """`price`: what a call costs."""
        self._solver = solver
        self._config = config
        self._facts = facts
        self._hide = hide
        self._attempts = attempts
        self._price = price

    async def work(self, task: MaskTask) -> Outcome:
        """The outcome of one task; any number of tasks may be under work at once."""
        trials = [Trial(task, hide, number) for hide in self._hide for number in range(self._attempts)]
        made = await gather_all(self._attempt(trial) for trial in trials)
        streams = [stream for _, stream in made if stream is not None]
        return conclude_task(task, [row for row, _ in made], streams)

    async def _attempt(self, trial: Trial) -> tuple[Trajectory | Reject, TokenStream | None]:
        making = describe_policy(self._config, self._facts, use_templates(TEMPLATES, trial.task.lang))
        tally = TokenUsage()
        try:
            play = await self._solver.play(ask(trial.task), trial.number, tally, trial.write_requests)
        except RefusedRequestError as error:
            return reject_attempt(trial, making, error.reason, error.what), None
        if play.stop_reason is StopReason.SEARCH_FAILED:
            return reject_attempt(trial, making, SEARCH_FAILED, sum_failures(play.failed)), None
        row = _write_row(trial, making, play, tally.list_usage(self._price))
        stream = TokenStream(
            trajectory_id=row.trajectory_id,
            rendering=self._config.rendering,
            tokenizer=self._facts.tokenizer,
            prompt_ids=play.prompt_ids,
            ids=play.ids,
            runs=play.runs,
            text=play.text,
            end=play.end,
            fault=play.fault,
        )
        return row, stream


def _write_row(trial: Trial, making: Making, play: Play, usage: tuple[RoleUsage, ...]) -> Trajectory:
    return Trajectory(
        trajectory_id=making.trajectory_id(trial),
        task_id=trial.task.task_id,
        attempt=trial.number,
        policy=making.policy,
        hide=trial.hide,
        turns=play.turns,
        answers=play.mask_answers(),
        final_think=play.think,
        stop_reason=play.stop_reason,
        usage=usage,
        prompts=making.prompts,
        sampling=making.sampling,
        engine=making.engine,
    )
