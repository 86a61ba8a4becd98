"""Training from the command line: makes the rows, the request and the environment, runs the
trainer, shows the result.
"""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from flows.checks.training import count_gpus, require_training
from flows.configuration.cache import cache_folder
from flows.configuration.environments import open_environment
from flows.exporting.dataset import export_dataset, read_day
from flows.exporting.decontamination import keep_clean, open_run_screen
from flows.models.tokenizers import read_tokenizer
from flows.stages.difficulties import read_difficulties
from pipeline.assets.store import resolve_model
from pipeline.components import identify_component
from pipeline.difficulty.learnable import Learnable
from pipeline.errors import ConfigError
from pipeline.exporting.registry import EXPORTERS
from pipeline.rendering.token_masks import TokenMasker
from pipeline.serving.environments import clean_variables
from pipeline.storage.run_folder import RunFolder
from pipeline.training.folders import TrainingFolder, find_checkpoint
from pipeline.training.launching import TrainingFleet, write_ray, write_slurm
from pipeline.training.requests import TrainingError, settle_request
from pipeline.training.rl_rows import (
    list_export_prompts,
    list_run_prompts,
    read_tasks,
    require_plain_prompt,
    write_prompts,
)
from pipeline.training.running import TrainerEnvironment, run_training
from pipeline.training.sft_rows import admit_rows, find_rows, read_parquet
from schemas.difficulties import Difficulty
from schemas.exports import ExportSettings, RowOrder, Trainer
from schemas.funnel import FunnelStep
from schemas.renderings import RenderingName
from schemas.rewards import RewardName
from schemas.training import Backend, Layout, RlRequest, SftRequest, StepMetrics, TrainingRequest, TrainingResult

SHOWN = ("loss", "reward", "rollout/format", "rollout/answer", "frac_reward_zero_std", "mean_token_accuracy", "seconds")
CURVES = {"loss": "loss", "reward": "reward", "rollout/format": "format kept", "rollout/answer": "answers right"}
"""Metrics of a result that are shown from the first step to the last."""
MACHINE_OPTIONS = ("--nodes", "--rank", "--address", "--port", "--template")
HEAD_SECONDS = 600.0
console = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class Launch:
    """Options about data, folders and machines."""

    data: Path
    model: str
    out: Path
    rendering: RenderingName
    fresh: bool
    template: str | None = None
    gpus: int | None = None
    nodes: int = 1
    rank: int = 0
    address: str = "127.0.0.1"
    port: int = 29500
    learnable: bool = False
    """Use only tasks that are solved sometimes, where that was measured."""

    def layout(self) -> Layout:
        """The machines."""
        return Layout(nodes=self.nodes, gpus=self.gpus, rank=self.rank, address=self.address, port=self.port)


def run_sft(launch: Launch, options: Mapping[str, Any]) -> None:
    """Fine-tune. Raises RampforgeError."""
    request = _build(SftRequest, launch, options)
    fleet = _count_fleet(launch)
    if launch.template:
        _write_template(launch, fleet)
        return
    require_training(launch.out, request.base, launch.layout(), Backend.TRL, None)
    with _locked(launch):
        if launch.rank:
            _wait_for_head(launch)
            _train(request, fleet, FunnelStep(stage="train", unit="row", entered=0, passed=0, rejected={}))
            return
        funnel = _write_sft_rows(launch, request)
        settle_request(TrainingFolder(launch.out), request, launch.fresh)
        _train(request, fleet, funnel)


def run_rl(launch: Launch, options: Mapping[str, Any]) -> None:
    """Train with reinforcement learning and search. Raises RampforgeError."""
    request = identify_reward(_build(RlRequest, launch, options))
    folder, overlapping = TrainingFolder(launch.out), Counter[str]()
    with _locked(launch):
        tokenizer = read_tokenizer(request.base, cache_folder())
        rendering, run = request.rollouts.rendering, RunFolder(launch.data)
        if run.find_record():
            learnable = Learnable(sometimes=launch.learnable)
            tasks = keep_clean(open_run_screen(run, cache_folder()), read_tasks(run), overlapping)
            rows = list_run_prompts(tasks, rendering, request.curriculum, _read_measured(run, launch), learnable)
        else:
            rows = list_export_prompts(find_rows(launch.data, "rl"), rendering)
        funnel = write_prompts(rows, folder, tokenizer, request.max_prompt, read_day(run))
        line = f"{funnel.passed} tasks; left out: {funnel.rejected | dict(overlapping) or 'none'}"
        console.print(line, soft_wrap=True, highlight=False)
        settle_request(folder, request, launch.fresh)
        if request.backend is Backend.VERL:
            require_plain_prompt(tokenizer)
            from flows.training.verl import write_verl

            write_verl(request, console)
            return
        fleet = _count_fleet(launch)
        require_training(launch.out, request.base, launch.layout(), request.backend, request.rollouts.search.url)
        _train(request, fleet, funnel)


def _read_measured(run: RunFolder, launch: Launch) -> dict[str, Difficulty]:
    """Return how often the tasks of a run were solved. Raises ConfigError if that is requested but was not measured."""
    measured = read_difficulties(run)
    if launch.learnable and not measured:
        fix = f"rampforge resume {run.root} --set policy.difficulties=true"
        raise ConfigError(f"{run.root}: the difficulty of its tasks was not measured", fix)
    return measured


def _build(kind: type[Any], launch: Launch, options: Mapping[str, Any]) -> Any:
    base = str(resolve_model(launch.model, cache_folder()))
    fixed = {"base": base, "data": str(launch.data), "output": str(launch.out), "layout": launch.layout()}
    try:
        return kind.model_validate({**fixed, **options})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{where}: {first['msg']}".removeprefix(": "), "rampforge train --help") from None


def identify_reward(request: RlRequest) -> RlRequest:
    """Add the source of a reward function of the user: another source is another setting. Raises ConfigError."""
    rollouts = request.rollouts
    if isinstance(rollouts.reward, RewardName):
        return request
    source = identify_component("--reward", rollouts.reward)
    return request.model_copy(update={"rollouts": rollouts.model_copy(update={"reward_source": source})})


def _write_sft_rows(launch: Launch, request: SftRequest) -> FunnelStep:
    tokenizer = read_tokenizer(request.base, cache_folder())
    run, data = RunFolder(launch.data), launch.data
    # Rejects a tokenizer without a chat template, whatever made the rows.
    masker = TokenMasker(tokenizer, day=read_day(run))
    if run.find_record():
        data = launch.out / "export"
        order = RowOrder.CURRICULUM if request.curriculum else RowOrder.MIXED
        name = Path(request.base).name
        settings = ExportSettings(
            trainer=Trainer.TRL,
            rendering=launch.rendering,
            tokenizer=name,
            order=order,
            split=0.0,
            single_queries=False,
            shortcuts=True,
            seed=request.seed,
        )
        screen = open_run_screen(run, cache_folder())
        export_dataset(run, data, settings, EXPORTERS[Trainer.TRL], masker, screen)
    rows = read_parquet(find_rows(data))
    admitted = admit_rows(rows, TrainingFolder(launch.out), request.max_length, len(tokenizer))
    console.print(
        f"{admitted.funnel.passed} rows, {admitted.tokens} tokens ({admitted.trained} trained, the longest row has "
        f"{admitted.longest}); left out: {admitted.funnel.rejected or 'none'}",
        soft_wrap=True,
        highlight=False,
    )
    return admitted.funnel


def _wait_for_head(launch: Launch) -> None:
    """Wait until the machine of rank 0 has written the rows, the request and the source. Raises TrainingError if it
    does not.
    """
    folder = TrainingFolder(launch.out)
    deadline = time.monotonic() + HEAD_SECONDS
    while not (folder.request.exists() and (folder.source / "digest").exists()):
        if time.monotonic() > deadline:
            what = f"the machine of rank 0 wrote no request into {launch.out} within {HEAD_SECONDS:.0f} s"
            raise TrainingError(
                what, "check that the folder is shared: run `rampforge train preflight` on every machine"
            )
        time.sleep(1.0)


def _count_fleet(launch: Launch) -> TrainingFleet:
    gpus = count_gpus() if launch.gpus is None else launch.gpus
    if not gpus and launch.nodes > 1:
        raise ConfigError("several machines without GPUs", "train on one machine, or set --gpus")
    return TrainingFleet(launch.layout(), gpus)


def _train(request: TrainingRequest, fleet: TrainingFleet, funnel: FunnelStep) -> None:
    environment = open_environment("trl")
    resume_command = shlex.join(["rampforge", *sys.argv[1:]]).replace(" --fresh", "")
    variables = dict(environment.recipe.variables or {}) | clean_variables(os.environ)
    if not fleet.gpus:
        variables["CUDA_VISIBLE_DEVICES"] = ""
    workshop = TrainerEnvironment(str(environment.python), variables, resume_command)
    folder = TrainingFolder(Path(request.output))
    begun = find_checkpoint(folder)
    if begun:
        console.print(f"resuming from step {begun[1]}", highlight=False)
    show_result(run_training(request, fleet, workshop, funnel, _show_step), folder)


def _show_step(step: StepMetrics) -> None:
    line = ", ".join(f"{name} {step.values[name]:.4g}" for name in SHOWN if name in step.values)
    console.print(f"step {step.step}: {line}", highlight=False, soft_wrap=True)


def show_result(result: TrainingResult, folder: TrainingFolder) -> None:
    """Print the result."""
    table = Table(show_header=False)
    place = result.device if result.processes == 1 else f"{result.device}, {result.processes} processes"
    table.add_row("steps", f"{result.steps} on {result.rows} rows, {place}")
    for name, label in CURVES.items():
        values = [step.values[name] for step in result.curve if name in step.values]
        if values:
            table.add_row(label, f"{values[0]:.4f} -> {values[-1]:.4f}")
    share = measure_share(result)
    if share is not None:
        table.add_row("search and reward", f"{share:.1%} of the time")
    table.add_row("speed", f"{result.tokens_per_second:.0f} tokens/s")
    table.add_row("model", result.checkpoint)
    table.add_row("result", str(folder.result))
    Console().print(table)


def measure_share(result: TrainingResult) -> float | None:
    """Return the share of the steps' time spent on searching and scoring; None without search."""
    steps = [step.values for step in result.curve if "rollout/search_seconds" in step.values]
    spent = sum(step["rollout/search_seconds"] + step["rollout/reward_seconds"] for step in steps)
    return spent / sum(step["seconds"] for step in steps) if steps else None


def _write_template(launch: Launch, fleet: TrainingFleet) -> None:
    writers = {"slurm": write_slurm, "ray": write_ray}
    if launch.template not in writers:
        raise ConfigError(f"no template {launch.template}", f"use {' or '.join(writers)}")
    command = ["rampforge", *_drop_options(sys.argv[1:])]
    path = launch.out / f"launch-{launch.template}.sh"
    path.parent.mkdir(parents=True, exist_ok=True)
    if launch.template == "slurm":
        path.write_text(write_slurm(command, fleet, launch.out.name), "utf-8")
    else:
        path.write_text(write_ray(command, fleet), "utf-8")
    Console().print(f"wrote {path}", soft_wrap=True, highlight=False)


def _drop_options(arguments: list[str]) -> list[str]:
    """Drop the options that identify this machine, since the script sets them."""
    remaining: list[str] = []
    skip = False
    for argument in arguments:
        if skip:
            skip = False
        elif argument in MACHINE_OPTIONS:
            skip = True
        elif not argument.startswith(tuple(f"{option}=" for option in MACHINE_OPTIONS)):
            remaining.append(argument)
    return remaining


@contextmanager
def _locked(launch: Launch) -> Iterator[None]:
    """Allow one training per folder and machine: two would overwrite each other's checkpoints."""
    launch.out.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(launch.out / f".lock-{launch.rank}", timeout=0):
            yield
    except Timeout:
        raise TrainingError(f"another training runs in {launch.out}", "wait for it, or use another --out") from None
