"""Training program with search, by TRL's GRPOTrainer: `accelerate launch -m ...trainers.rl FOLDER`.

DAPO (arXiv 2503.14476): loss by token, clip-higher, no KL, dynamic sampling (`groups`), a soft penalty on the model's
own tokens. Completions that are cut off are kept, with what they earn: dropping them, as DAPO's overlong filtering
does, would leave a model that searches for ever unpunished.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

from datasets import Dataset, concatenate_datasets
from trl import GRPOConfig, GRPOTrainer  # type: ignore[import-not-found]  # lives in the trainers' environment

from pipeline.rollouts.search_rollout import Completion, SearchRollouts, Task
from pipeline.training.folders import TrainingFolder
from pipeline.training.trainers.generation import open_generation
from pipeline.training.trainers.groups import Batch, TaskPool, fill_batch
from pipeline.training.trainers.loading import (
    common_arguments,
    load_model,
    load_tokenizer,
    make_adapter,
    read_request,
)
from pipeline.training.trainers.progress import TrainingProgress, train_and_save
from pipeline.training.trainers.retriever import Retriever
from pipeline.training.trainers.scoring import score_completions
from schemas.training import RlRequest

KEPT_METRICS = ("reward", "frac_reward_zero_std", "completions/", "rollout/", "clip_ratio")


class Policy:
    """TRL's `rollout_func`: fills batches, scores them, and measures the time."""

    def __init__(self, request: RlRequest, tasks: list[Task], tokenizer: Any, samples: Path) -> None:
        """`samples`: file for the completions of one group of each step."""
        self._request = request
        self._samples = samples
        self._tasks = {task.prompt: task for task in tasks}
        self._pool = TaskPool(tasks, request.curriculum)
        self._rollouts = SearchRollouts(tokenizer, request.rollouts)
        self._retriever = Retriever(request.rollouts.search)
        self._tokenizer = tokenizer
        self._judge = _open_judge(request)
        self._told: dict[str, float] = {}

    def __call__(self, prompts: list[str], trainer: Any) -> dict[str, Any]:
        """Return completions for a batch of prompts, each repeated for every completion of its group."""
        request, step = self._request, int(trainer.state.global_step)
        generate = open_generation(trainer, self._tokenizer, self._rollouts.stops, request.rollouts)
        began, searched, scoring = time.perf_counter(), self._retriever.seconds, 0.0

        def draw(tasks: list[Task]) -> list[Completion]:
            nonlocal scoring
            drawn = self._rollouts.draw(tasks, generate, lambda searches: self._retriever.find(searches, step))
            start = time.perf_counter()
            score_completions(drawn, request, self._judge)
            scoring += time.perf_counter() - start
            return drawn

        tasks = [self._tasks[prompt] for prompt in prompts[:: request.rollouts.group]]
        chance = random.Random(f"{request.seed}/{step}/{trainer.accelerator.process_index}")  # noqa: S311 - no secret
        batch = fill_batch(tasks, request.rollouts.group, draw, self._pool, request.resample, chance)
        self._note(batch, time.perf_counter() - began, self._retriever.seconds - searched, scoring)
        if trainer.accelerator.is_main_process:
            with self._samples.open("a", encoding="utf-8") as file:
                for one in batch.completions[: request.rollouts.group]:
                    file.write(json.dumps({"step": step + 1, **describe_sample(one)}, ensure_ascii=False) + "\n")
        return write_rows(batch.completions)

    def tell(self) -> dict[str, float]:
        """Return means of the last batch: format, answers, lengths, and the seconds of search and scoring."""
        return self._told

    def _note(self, batch: Batch, seconds: float, searching: float, scoring: float) -> None:
        count = len(batch.completions)
        means = {
            "format": sum(one.in_form for one in batch.completions) / count,
            "answer": sum(one.right for one in batch.completions) / count,
            "searches": sum(one.searches for one in batch.completions) / count,
            "own_tokens": sum(one.own_tokens for one in batch.completions) / count,
            "result_tokens": sum(len(one.ids) - one.own_tokens for one in batch.completions) / count,
        }
        times = {"seconds": seconds, "search_seconds": searching, "reward_seconds": scoring}
        sampling = {"groups_drawn": float(batch.drawn), "groups_dull": float(batch.dull)}
        self._told = {f"rollout/{name}": value for name, value in {**means, **times, **sampling}.items()}


def describe_sample(one: Completion) -> dict[str, Any]:
    """Return a completion for people; `runs`: mask and length of each stretch of tokens."""
    runs = [(mask, len(list(same))) for mask, same in groupby(one.mask)]
    paid = {"reward": one.reward, "penalty": one.penalty, "format": one.in_form, "answer": one.right}
    return {"task_id": one.task.task_id, "text": one.text, "golds": one.task.golds, "runs": runs, **paid}


def write_rows(completions: list[Completion]) -> dict[str, Any]:
    """Return TRL's columns, one row per completion; unknown keys are passed to the reward functions."""
    return {
        "prompt_ids": [one.prompt_ids for one in completions],
        "completion_ids": [one.ids for one in completions],
        "logprobs": None,
        "env_mask": [one.mask for one in completions],
        "paid": [one.reward for one in completions],
        "length_penalty": [None if one.reward is None else one.penalty for one in completions],
    }


def search_reward(*, paid: list[float | None], **columns: Any) -> list[float | None]:
    """Return the rewards of the rollout: a replaced prompt has golds of its own, which TRL lacks."""
    return paid


def overlong_penalty(*, length_penalty: list[float | None], **columns: Any) -> list[float | None]:
    """Return the soft penalty on own tokens."""
    return length_penalty


def read_tasks(rows: Dataset) -> list[Task]:
    """Return the tasks of the rows, in order."""
    return [
        Task(
            task_id=row["task_id"],
            prompt=row["prompt"],
            question=row["question"],
            lang=row["lang"],
            golds=tuple(map(tuple, json.loads(row["golds"]))),
            mask_count=row["mask_count"],
            passage_id=row["passage_id"],
        )
        for row in rows
    ]


def fill_step(prompts: Dataset, request: RlRequest, processes: int) -> Dataset:
    """Return the prompts, repeated where they are fewer than one step takes: TRL would do no step."""
    taken = request.batch * request.accumulate * processes // request.rollouts.group
    times = -(-taken // len(prompts))
    return concatenate_datasets([prompts] * times) if times > 1 else prompts


def main(root: Path) -> None:
    """Train to the end, from the newest complete checkpoint if there is one."""
    folder = TrainingFolder(root)
    request = RlRequest.model_validate(read_request(folder))
    rows = Dataset.from_parquet(str(folder.rows), cache_dir=str(root / "data" / "cache"))
    tokenizer = load_tokenizer(request.base)
    policy = Policy(request, read_tasks(rows), tokenizer, folder.samples)
    progress = TrainingProgress(folder, KEPT_METRICS, policy.tell)
    rewards: list[Callable[..., list[float | None]]] = [search_reward, overlong_penalty]
    trainer = GRPOTrainer(
        model=load_model(request),
        reward_funcs=rewards,
        args=GRPOConfig(**common_arguments(request, folder), **grpo_arguments(request)),
        train_dataset=fill_step(rows.select_columns(["prompt"]), request, int(os.environ.get("WORLD_SIZE", "1"))),
        processing_class=tokenizer,
        peft_config=make_adapter(request.weights),
        callbacks=[progress],
        rollout_func=policy,
    )
    train_and_save(trainer, tokenizer, request, folder, progress)


def grpo_arguments(request: RlRequest) -> dict[str, Any]:
    """Return TRL's arguments for DAPO."""
    return {
        "loss_type": "dapo",
        "epsilon": request.clip_low,
        "epsilon_high": request.clip_high,
        "beta": request.kl,
        "num_generations": request.rollouts.group,
        "max_completion_length": request.rollouts.max_completion,
        "temperature": request.rollouts.temperature,
        "top_p": request.rollouts.top_p,
        "mask_truncated_completions": False,
        "shuffle_dataset": not request.curriculum,
    }


def _open_judge(request: RlRequest) -> Any:
    if request.rollouts.judge is None:
        return None
    from pipeline.rewards.judge_reward import open_judge

    return open_judge(request.rollouts.judge)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
