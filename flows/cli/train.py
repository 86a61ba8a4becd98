"""Command `rampforge train`: supervised fine-tuning, reinforcement learning, and checks before either."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from flows.checks.findings import State
from flows.cli.doctor import draw_findings
from flows.cli.locations import fetch_data
from schemas.renderings import RenderingName
from schemas.rewards import RewardName
from schemas.training import Advantage, Backend, Tuning

train_app = typer.Typer(
    no_args_is_help=True, help="Fine-tune a model on a judged run, or train it with reinforcement learning and search."
)

Data = Annotated[
    Path, typer.Argument(metavar="DATA", help="Judged run, or its export for TRL; a path or a URL.", parser=fetch_data)
]
Learnable = Annotated[
    bool, typer.Option("--learnable", help="Use only tasks that are solved sometimes (needs difficulties/).")
]
Base = Annotated[str, typer.Option("--model", "-m", help="Base model: an asset, a folder or a hub name.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for checkpoints, log, result and the final model.")]
Steps = Annotated[int | None, typer.Option(min=1, help="Optimiser steps; default: those of --epochs.")]
Batch = Annotated[int, typer.Option(min=1, help="Rows per process in one batch.")]
Accumulate = Annotated[int, typer.Option(min=1, help="Gradient accumulation: batches per optimiser step.")]
Rate = Annotated[float, typer.Option("--lr", help="Peak learning rate.")]
Tune = Annotated[
    Tuning, typer.Option("--tuning", help="Train all weights, or an adapter that is merged in at the end.")
]
Rank = Annotated[int, typer.Option("--lora-rank", min=1, help="Rank of the adapter.")]
Precision = Annotated[
    bool | None, typer.Option("--bf16/--no-bf16", help="Train in bfloat16; default: on GPUs that support it.")
]
Recompute = Annotated[bool, typer.Option("--checkpointing", help="Recompute activations: less memory, more time.")]
Save = Annotated[int, typer.Option("--save-every", min=1, help="Optimiser steps between checkpoints.")]
Graded = Annotated[
    bool, typer.Option("--curriculum", help="Order rows from easy to hard, by mask count and difficulty.")
]
Seed = Annotated[int, typer.Option(help="Random seed.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Discard an earlier training in the folder.")]
Gpus = Annotated[int | None, typer.Option(min=0, help="GPUs per machine; default: all, 0: the CPU.")]
Nodes = Annotated[int, typer.Option(min=1, help="Machines.")]
NodeRank = Annotated[int, typer.Option("--rank", min=0, help="Rank of this machine, from 0.")]
Address = Annotated[str, typer.Option(help="Address of the machine of rank 0.")]
Port = Annotated[int, typer.Option(help="Rendezvous port.")]
Template = Annotated[str | None, typer.Option(help="Write a job script (slurm or ray) instead of training.")]
Render = Annotated[RenderingName, typer.Option(help="Format of the conversations, if DATA is a run.")]
Retriever = Annotated[str, typer.Option("--search", help="URL of the search server: `rampforge search serve RUN`.")]
SearchKey = Annotated[str | None, typer.Option(help="NAME of the environment variable with the server's token.")]


@train_app.command("sft")
def sft(
    data: Data,
    model: Base,
    out: Out,
    steps: Steps = None,
    epochs: Annotated[float, typer.Option(help="Passes over the rows, unless --steps is given.")] = 1.0,
    batch: Batch = 8,
    accumulate: Accumulate = 1,
    lr: Rate = 1e-5,
    tuning: Tune = Tuning.FULL,
    lora_rank: Rank = 16,
    bf16: Precision = None,
    checkpointing: Recompute = False,
    max_length: Annotated[int, typer.Option(min=16, help="Maximum tokens of a row; longer rows are left out.")] = 4096,
    packing: Annotated[
        bool, typer.Option("--packing", help="Pack several rows into one sequence (needs flash attention).")
    ] = False,
    curriculum: Graded = False,
    save_every: Save = 50,
    seed: Seed = 0,
    rendering: Render = RenderingName.SEARCH_R1,
    fresh: Fresh = False,
    gpus: Gpus = None,
    nodes: Nodes = 1,
    rank: NodeRank = 0,
    address: Address = "127.0.0.1",
    port: Port = 29500,
    template: Template = None,
) -> None:
    """Fine-tune on accepted trajectories; the same command resumes an interrupted training."""
    from flows.training.run import Launch, run_sft

    launch = Launch(data, model, out, rendering, fresh, template, gpus, nodes, rank, address, port)
    weights = {"tuning": tuning, "lora_rank": lora_rank, "learning_rate": lr, "bf16": bf16}
    run_sft(
        launch,
        {
            "weights": {**weights, "checkpointing": checkpointing},
            **{"steps": steps, "epochs": epochs, "batch": batch, "accumulate": accumulate, "save_every": save_every},
            **{"curriculum": curriculum, "seed": seed, "max_length": max_length, "packing": packing},
        },
    )


@train_app.command("rl")
def rl(
    data: Data,
    model: Base,
    out: Out,
    search: Retriever,
    backend: Annotated[Backend, typer.Option(help="trl: train here; verl: write files for a cluster.")] = Backend.TRL,
    advantage: Annotated[Advantage, typer.Option(help="Advantage estimator of verl.")] = Advantage.GRPO,
    steps: Steps = None,
    epochs: Annotated[float, typer.Option(help="Passes over the tasks, unless --steps is given.")] = 1.0,
    batch: Batch = 8,
    accumulate: Accumulate = 1,
    group: Annotated[int, typer.Option(min=2, help="Completions of one prompt.")] = 8,
    turns: Annotated[int, typer.Option(min=1, help="Maximum searches in one completion.")] = 4,
    max_completion: Annotated[
        int, typer.Option(min=16, help="Maximum tokens of a completion, results included.")
    ] = 1024,
    max_turn: Annotated[int, typer.Option(min=8, help="Maximum tokens between two searches.")] = 256,
    max_results: Annotated[int, typer.Option(min=16, help="Maximum tokens of the results of one search.")] = 512,
    k: Annotated[int, typer.Option("--k", min=1, max=100, help="Passages shown per search.")] = 3,
    search_key: SearchKey = None,
    simulated_steps: Annotated[int | None, typer.Option(min=1, help="Steps of ZeroSearch's noise curriculum.")] = None,
    temperature: Annotated[float, typer.Option(help="Sampling temperature.")] = 1.0,
    reward: Annotated[RewardName, typer.Option(help="Reward function.")] = RewardName.F1,
    format_credit: Annotated[float, typer.Option(min=0, max=1, help="Reward for correct format alone.")] = 0.1,
    resample: Annotated[int, typer.Option(min=0, help="Rounds of dynamic sampling per optimiser step.")] = 2,
    lr: Rate = 1e-6,
    tuning: Tune = Tuning.FULL,
    lora_rank: Rank = 16,
    bf16: Precision = None,
    checkpointing: Recompute = False,
    max_prompt: Annotated[int, typer.Option(min=16, help="Maximum tokens of a prompt.")] = 2048,
    curriculum: Graded = False,
    learnable: Learnable = False,
    save_every: Save = 50,
    seed: Seed = 0,
    rendering: Render = RenderingName.SEARCH_R1,
    fresh: Fresh = False,
    gpus: Gpus = None,
    nodes: Nodes = 1,
) -> None:
    """Train with search and reward (DAPO); the same command resumes an interrupted training."""
    from flows.training.run import Launch, run_rl

    launch = Launch(data, model, out, rendering, fresh, None, gpus, nodes, learnable=learnable)
    weights = {"tuning": tuning, "lora_rank": lora_rank, "learning_rate": lr, "bf16": bf16, "schedule": "constant"}
    endpoint = {"url": search, "k": k, "key": search_key, "simulated_steps": simulated_steps}
    rollouts = {"rendering": rendering, "search": endpoint, "group": group, "turns": turns, "reward": reward}
    rollouts |= {"max_completion": max_completion, "max_turn": max_turn, "max_results": max_results}
    rollouts |= {"temperature": temperature, "format_credit": format_credit}
    run_rl(
        launch,
        {
            "weights": {**weights, "checkpointing": checkpointing},
            "rollouts": rollouts,
            **{"steps": steps, "epochs": epochs, "batch": batch, "accumulate": accumulate, "save_every": save_every},
            **{"curriculum": curriculum, "seed": seed, "resample": resample, "max_prompt": max_prompt},
            **{"backend": backend, "advantage": advantage},
        },
    )


@train_app.command("preflight")
def preflight(
    out: Out,
    model: Base,
    search: Annotated[str | None, typer.Option(help="URL of the search server, for RL.")] = None,
    backend: Annotated[Backend, typer.Option(help="Framework whose environment is checked.")] = Backend.TRL,
    gpus: Gpus = None,
    nodes: Nodes = 1,
    rank: NodeRank = 0,
    address: Address = "127.0.0.1",
    port: Port = 29500,
) -> None:
    """Check this machine before training: environment, GPUs, port, shared folder, search server, disk space."""
    from flows.checks.training import check_training
    from schemas.training import Layout

    layout = Layout(nodes=nodes, gpus=gpus, rank=rank, address=address, port=port)
    with Console(stderr=True).status("looking"):
        findings = list(check_training(out, model, layout, backend, search))
    Console().print(draw_findings(findings))
    if any(finding.state is State.FAIL for finding in findings):
        raise typer.Exit(1)
