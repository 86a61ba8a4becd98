"""Reinforcement learning by verl 0.9.1, as hydra overrides.

Every key is checked against verl's own configuration (`python -m verl.trainer.main_ppo ... --cfg job`) by a test that
runs where verl is installed. What cost others time, and is settled here:
- the overlong penalty of verl's reward manager `dapo` counts retrieved tokens; ours, under `naive`, counts own ones;
- dynamic sampling is `algorithm.filter_groups` on the reward as paid, length included: verl compares one number, and
  `acc` would call completions alike that differ in format; it refills until the batch is full, without a bound;
- the default agent loop runs one turn.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pipeline.exporting.formats.verl import STREAM_AGENT
from pipeline.training.requests import TrainingError
from schemas.rewards import JudgeEndpoint
from schemas.training import Advantage, RlRequest, Tuning

CLIP_C = 10.0
"""Bound of verl's dual clip, large enough to have no effect."""


def list_overrides(request: RlRequest, files: Mapping[str, Path], gpus: int) -> list[str]:
    """Return the overrides of a request. `files`: train, agents, reward; `gpus`: on each machine."""
    rollouts, weights, layout = request.rollouts, request.weights, request.layout
    if weights.tuning is Tuning.LORA and weights.lora_rank > 512:
        raise TrainingError(f"an adapter of rank {weights.lora_rank}: vLLM serves up to 512", "lower --lora-rank")
    prompts = request.batch * request.accumulate
    values: dict[str, object] = {
        "data.train_files": files["train"],
        "data.val_files": files["train"],
        "data.train_batch_size": prompts,
        "data.max_prompt_length": request.max_prompt,
        "data.max_response_length": rollouts.max_completion,
        "data.filter_overlong_prompts": True,
        "data.truncation": "error",
        "data.return_raw_chat": True,
        "data.shuffle": not request.curriculum,
        "data.seed": request.seed,
        "algorithm.adv_estimator": request.advantage,
        "algorithm.use_kl_in_reward": False,
        "actor_rollout_ref.model.path": request.base,
        "actor_rollout_ref.model.enable_gradient_checkpointing": weights.checkpointing,
        "actor_rollout_ref.actor.optim.lr": weights.learning_rate,
        "actor_rollout_ref.actor.optim.weight_decay": weights.weight_decay,
        "actor_rollout_ref.actor.grad_clip": weights.max_grad_norm,
        "actor_rollout_ref.actor.clip_ratio_low": request.clip_low,
        "actor_rollout_ref.actor.clip_ratio_high": request.clip_high,
        "actor_rollout_ref.actor.clip_ratio_c": CLIP_C,
        "actor_rollout_ref.actor.loss_agg_mode": "token-mean",
        "actor_rollout_ref.actor.use_kl_loss": request.kl > 0,
        "actor_rollout_ref.actor.ppo_mini_batch_size": prompts,
        "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu": 1,
        "actor_rollout_ref.rollout.name": "vllm",
        "actor_rollout_ref.rollout.n": 1 if request.advantage is Advantage.PPO else rollouts.group,
        "actor_rollout_ref.rollout.temperature": rollouts.temperature,
        "actor_rollout_ref.rollout.top_p": rollouts.top_p,
        "actor_rollout_ref.rollout.gpu_memory_utilization": 0.6,
        "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu": 1,
        "actor_rollout_ref.rollout.multi_turn.enable": True,
        "actor_rollout_ref.rollout.multi_turn.max_assistant_turns": rollouts.turns + 1,
        "actor_rollout_ref.rollout.agent.default_agent_loop": STREAM_AGENT,
        "actor_rollout_ref.rollout.agent.agent_loop_config_path": files["agents"],
        "reward.reward_manager.name": "naive",
        "reward.custom_reward_function.path": files["reward"],
        "reward.custom_reward_function.name": "compute_score",
        "trainer.nnodes": layout.nodes,
        "trainer.n_gpus_per_node": gpus,
        "trainer.logger": '["console","file"]',
        "trainer.project_name": "rampforge",
        "trainer.experiment_name": Path(request.output).name,
        "trainer.default_local_dir": Path(request.output).resolve() / "checkpoints",
        "trainer.save_freq": request.save_every,
        "trainer.test_freq": -1,
        "trainer.val_before_train": False,
        "trainer.total_epochs": max(1, round(request.epochs)),
        "trainer.resume_mode": "auto",
    }
    values |= _list_choices(request) | _list_reward(request)
    return [f"{key}={_write(value)}" for key, value in values.items()]


def _list_choices(request: RlRequest) -> dict[str, object]:
    """Return the keys that only some requests have."""
    values: dict[str, object] = {}
    if request.steps:
        values["trainer.total_training_steps"] = request.steps
    if request.weights.tuning is Tuning.LORA:
        values["actor_rollout_ref.model.lora_rank"] = request.weights.lora_rank
        values["actor_rollout_ref.model.lora_alpha"] = 2 * request.weights.lora_rank
    if request.kl:
        values["actor_rollout_ref.actor.kl_loss_coef"] = request.kl
        values["actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu"] = 1
    if request.advantage is Advantage.PPO:
        values["critic.model.path"] = request.base
        values["critic.ppo_micro_batch_size_per_gpu"] = 1
    if request.advantage is Advantage.GRPO and request.resample:
        values["algorithm.filter_groups.enable"] = True
        values["algorithm.filter_groups.metric"] = "reward"
    return values


def _list_reward(request: RlRequest) -> dict[str, object]:
    """Return the arguments of the reward function."""
    most, buffer = request.own_tokens
    arguments: dict[str, object] = {
        "reward": request.rollouts.reward,
        "format_credit": request.rollouts.format_credit,
        "overlong_most": most,
        "overlong_buffer": buffer,
        **_list_judge(request.rollouts.judge),
    }
    return {f"+reward.custom_reward_function.reward_kwargs.{name}": value for name, value in arguments.items()}


def _list_judge(judge: JudgeEndpoint | None) -> dict[str, object]:
    given = judge.model_dump(mode="json", exclude_none=True) if judge else {}
    return {f"judge_{name}": value for name, value in given.items() if value not in ({}, [])}


def _write(value: object) -> str:
    if isinstance(value, bool):
        return "True" if value else "False"
    if isinstance(value, dict | list):  # as JSON in a text of Hydra, whose interpolations have the form of ours
        text = json.dumps(value, ensure_ascii=False).replace("'", "\\'").replace("${", "\\${")
        return f"'{text}'"
    return str(value)
