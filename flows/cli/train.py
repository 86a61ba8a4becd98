"""Command `rampforge train`: supervised fine-tuning, reinforcement learning, and checks before either."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from flows.checks.findings import State
from flows.cli.doctor import draw_findings
from flows.cli.locations import fetch_data
from flows.cli.model_options import nest_options, take_options
from schemas.renderings import RenderingName
from schemas.rewards import RewardName
from schemas.training import Backend, RlRequest, SftRequest

train_app = typer.Typer(
    no_args_is_help=True, help="Fine-tune a model on a judged run, or train it with reinforcement learning and search."
)

Data = Annotated[
    Path, typer.Argument(metavar="DATA", help="Judged run, or its export for TRL; a path or a URL.", parser=fetch_data)
]
Base = Annotated[str, typer.Option("--model", "-m", help="Base model: an asset, a folder or a hub name.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for checkpoints, log, result and the final model.")]
Graded = Annotated[
    bool, typer.Option("--curriculum", help="Order rows from easy to hard, by mask count and difficulty.")
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Discard an earlier training in the folder.")]
Gpus = Annotated[int | None, typer.Option(min=0, help="GPUs per machine; default: all, 0: the CPU.")]
Nodes = Annotated[int, typer.Option(min=1, help="Machines.")]
NodeRank = Annotated[int, typer.Option("--rank", min=0, help="Rank of this machine, from 0.")]
Address = Annotated[str, typer.Option(help="Address of the machine of rank 0.")]
Port = Annotated[int, typer.Option(help="Rendezvous port.")]
Template = Annotated[str | None, typer.Option(help="Write a job script (slurm or ray) instead of training.")]
Render = Annotated[RenderingName, typer.Option(help="Format of the conversations, if DATA is a run.")]

COMMON = {name: name for name in ("steps", "epochs", "batch", "accumulate", "save_every", "seed")} | {
    "lr": "weights.learning_rate",
    **{name: f"weights.{name}" for name in ("tuning", "lora_rank", "bf16", "checkpointing")},
}
"""Options of every training, and the field of the request that each sets."""
SFT = COMMON | {name: name for name in ("max_length", "packing")}
SAMPLING = ("group", "turns", "max_completion", "max_turn", "max_results", "temperature", "format_credit")
RL = (
    {"search": "rollouts.search.url"}
    | {name: f"rollouts.search.{name}" for name in ("k", "simulated_steps")}
    | {name: f"rollouts.{name}" for name in SAMPLING}
    | {name: name for name in ("advantage", "resample", "max_prompt")}
    | COMMON
)


@train_app.command("sft")
@take_options(SftRequest, SFT)
def sft(
    data: Data,
    model: Base,
    out: Out,
    curriculum: Graded = False,
    rendering: Render = RenderingName.SEARCH_R1,
    fresh: Fresh = False,
    gpus: Gpus = None,
    nodes: Nodes = 1,
    rank: NodeRank = 0,
    address: Address = "127.0.0.1",
    port: Port = 29500,
    template: Template = None,
    **options: Any,
) -> None:
    """Fine-tune on accepted trajectories; the same command resumes an interrupted training."""
    from flows.training.run import Launch, run_sft

    launch = Launch(data, model, out, rendering, fresh, template, gpus, nodes, rank, address, port)
    run_sft(launch, nest_options(SFT, options) | {"curriculum": curriculum})


@train_app.command("rl")
@take_options(RlRequest, RL, lr=1e-6)
def rl(
    data: Data,
    model: Base,
    out: Out,
    search_key: Annotated[
        str | None, typer.Option(help="NAME of the environment variable with the token of the search server.")
    ] = None,
    backend: Annotated[Backend, typer.Option(help="trl: train here; verl: write files for a cluster.")] = Backend.TRL,
    reward: Annotated[
        str, typer.Option(help=f"Reward function: {', '.join(RewardName)}; or MODULE:FUNCTION of your own.")
    ] = RewardName.F1,
    curriculum: Graded = False,
    learnable: Annotated[
        bool, typer.Option("--learnable", help="Use only tasks that are solved sometimes (needs difficulties/).")
    ] = False,
    rendering: Render = RenderingName.SEARCH_R1,
    fresh: Fresh = False,
    gpus: Gpus = None,
    nodes: Nodes = 1,
    **options: Any,
) -> None:
    """Train with search and reward (DAPO); the same command resumes an interrupted training."""
    from flows.training.run import Launch, run_rl

    launch = Launch(data, model, out, rendering, fresh, None, gpus, nodes, learnable=learnable)
    values = nest_options(RL, options) | {"curriculum": curriculum, "backend": backend}
    values["rollouts"]["search"]["key"] = search_key
    values["rollouts"] |= {"rendering": rendering, "reward": reward}
    values["weights"] |= {"schedule": "constant"}
    run_rl(launch, values)


@train_app.command("preflight")
def preflight(
    out: Out,
    model: Base,
    search: Annotated[str | None, typer.Option(help="URL of the search server, for RL.")] = None,
    search_key: Annotated[
        str | None, typer.Option(help="NAME of the environment variable with the token of the search server.")
    ] = None,
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
