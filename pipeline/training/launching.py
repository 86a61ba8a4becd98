"""The words that start a trainer, what it imports of ours, and templates for Slurm and Ray."""

from __future__ import annotations

import hashlib
import shlex
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

import pipeline
import prompts
import schemas
from pipeline.components import locate_component
from pipeline.rewards.trainers import REWARD_KEY
from pipeline.training.folders import TrainingFolder
from schemas.training import Layout, RlRequest, SftRequest, TrainingRequest, Tuning

KEPT = {".py", ".md", ".json", ".yaml"}
VARIABLES = {"TOKENIZERS_PARALLELISM": "false", "TRL_EXPERIMENTAL_SILENCE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
FSDP_FILE = "fsdp.yaml"


@dataclass(frozen=True, slots=True)
class TrainingFleet:
    """The processes that train together."""

    layout: Layout
    gpus: int
    """GPUs of each machine; 0 for one process on the CPU."""

    @property
    def processes(self) -> int:
        """How many there are in all."""
        return self.layout.nodes * max(self.gpus, 1)


def copy_source(target: Path, request: TrainingRequest | None = None) -> None:
    """Copy the packages that a trainer imports into a folder of their own, unless they are there already: those of
    rampforge, and the module or package of a reward function of the user.

    Our own site-packages on its path would bring our torch and transformers with them.
    """
    files = dict(_list_source(request))
    digest = hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in files)).hexdigest()
    marker = target / "digest"
    if marker.exists() and marker.read_text("utf-8") == digest:
        return
    if target.exists():
        shutil.rmtree(target)
    for path, name in files.items():
        copy = target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    marker.write_text(digest, "utf-8")


def _list_source(request: TrainingRequest | None) -> Iterator[tuple[Path, Path]]:
    roots = [Path(str(package.__file__)).parent for package in (schemas, prompts, pipeline)]
    if isinstance(request, RlRequest) and request.rollouts.reward_source:
        roots.append(locate_component(REWARD_KEY, request.rollouts.reward))
    for root in roots:
        if root.is_file():
            yield root, Path(root.name)
        for path in sorted(root.rglob("*")):
            if path.suffix in KEPT and "__pycache__" not in path.parts:
                yield path, root.name / path.relative_to(root)


def write_fsdp(request: TrainingRequest) -> str:
    """What accelerate is told to shard weights, gradients and optimiser over the processes (FSDP 2)."""
    config = {
        "compute_environment": "LOCAL_MACHINE",
        "distributed_type": "FSDP",
        "fsdp_config": {
            "fsdp_version": 2,
            "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
            "fsdp_reshard_after_forward": True,
            "fsdp_offload_params": False,
            "fsdp_cpu_ram_efficient_loading": True,
            # One file for any number of processes: a checkpoint outlives the layout that made it.
            "fsdp_state_dict_type": "FULL_STATE_DICT",
            "fsdp_activation_checkpointing": request.weights.checkpointing,
        },
    }
    return yaml.safe_dump(config, sort_keys=False)


def shards_weights(request: TrainingRequest, fleet: TrainingFleet) -> bool:
    """Whether weights are spread over the processes: full SFT; adapters and rollouts keep a whole copy each."""
    return isinstance(request, SftRequest) and request.weights.tuning is Tuning.FULL and fleet.processes > 1


def launch_words(python: str, program: str, request: TrainingRequest, fleet: TrainingFleet) -> list[str]:
    """The command of this machine: one process a GPU, or one on the CPU. `program` is a module of `trainers`."""
    layout, folder = fleet.layout, TrainingFolder(Path(request.output))
    words = [python, "-m", "accelerate.commands.launch"]
    if shards_weights(request, fleet):
        words += ["--config_file", str(folder.root / FSDP_FILE)]
    elif fleet.processes > 1:
        words.append("--multi_gpu")
    if not fleet.gpus:
        words.append("--cpu")
    words += ["--num_machines", str(layout.nodes), "--num_processes", str(fleet.processes)]
    words += ["--mixed_precision", "no", "--dynamo_backend", "no"]  # the trainer itself settles precision
    if fleet.processes > 1:
        words += ["--machine_rank", str(layout.rank), "--main_process_port", str(layout.port)]
        words += ["--main_process_ip", layout.address, "--rdzv_backend", "static"]
    return [*words, "-m", f"pipeline.training.trainers.{program}", str(folder.root)]


def write_slurm(command: Sequence[str], fleet: TrainingFleet, name: str) -> str:
    """A job script that runs a `rampforge train` command on every machine, each with its own rank.

    `command`: the words of the command, without those that say which machine it is.
    """
    lines = [
        "#!/bin/bash",
        f"#SBATCH --job-name={name}",
        f"#SBATCH --nodes={fleet.layout.nodes}",
        "#SBATCH --ntasks-per-node=1",
        *([f"#SBATCH --gpus-per-node={fleet.gpus}"] if fleet.gpus else []),
        "#SBATCH --requeue",
        "#SBATCH --output=%x-%j.log",
        "set -euo pipefail",
        "# Every machine must see --out and the data. A requeued job goes on from its checkpoint.",
        'head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)',
        "port=$((20000 + SLURM_JOB_ID % 20000))",
        "export head port",
        "srun bash -c '"
        + join_words(command).replace("'", "'\"'\"'")
        + ' --nodes "$SLURM_NNODES" --rank "$SLURM_NODEID"'
        ' --address "$head" --port "$port"' + "'",
    ]
    return "\n".join(lines) + "\n"


def write_ray(command: Sequence[str], fleet: TrainingFleet) -> str:
    """A script that submits a `rampforge train` command of one machine to a Ray cluster, as a job with GPUs."""
    lines = [
        "#!/bin/bash",
        "set -euo pipefail",
        "# The cluster: `ray start --head --dashboard-host=0.0.0.0`, then `ray start --address=HEAD:6379` elsewhere.",
        "# --out and the data must lie on a folder that the cluster sees.",
        ': "${RAY_ADDRESS:=http://127.0.0.1:8265}"',
        f'ray job submit --address="$RAY_ADDRESS" --entrypoint-num-gpus {fleet.gpus} --no-wait \\',
        f"  -- {join_words(command)}",
    ]
    return "\n".join(lines) + "\n"


def join_words(words: Sequence[str]) -> str:
    """Words as a shell reads them back."""
    return shlex.join(words)
