"""Files for verl, in the folder of the training:

verl/train.parquet     prompts for RLHFDataset, from the rows
verl/agents.yaml       the agent loop, with the settings of the rollouts
verl/reward.py         `compute_score`, over pipeline.rewards
verl/overrides.txt     hydra's overrides, one a line
verl/launch.sh         starts Ray on this machine and trains
verl/submit.sh         submits the training to a Ray cluster and follows it
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import yaml

from pipeline.exporting.columns import TEXT
from pipeline.exporting.formats.verl import SOURCE, STREAM_AGENT
from pipeline.exporting.prompt_columns import list_prompt_columns, write_prompt_row
from pipeline.exporting.table_files import TableFile
from pipeline.storage.files import write_atomically
from pipeline.training.folders import TrainingFolder
from pipeline.training.launching import copy_source
from pipeline.training.sft_rows import read_parquet
from pipeline.training.verl.overrides import list_overrides
from schemas.training import RlRequest

EXTRA = pa.struct(
    [
        ("split", TEXT),
        ("index", pa.int64()),
        ("task_id", TEXT),
        ("question", TEXT),
        ("lang", TEXT),
        ("rendering", TEXT),
        ("golds", TEXT),
        ("passage_id", TEXT),
        ("need_tools_kwargs", pa.bool_()),
    ]
)
SCHEMA = pa.schema([*list_prompt_columns(EXTRA), ("agent_name", TEXT)])
COLUMNS = ("task_id", "question", "lang", "rendering", "golds", "passage_id")
"""Columns of the rows that are passed on."""


def write_verl_files(request: RlRequest, gpus: int, python: str, reward: str) -> list[str]:
    """Write all files and return the overrides. The rows must be in place.

    Args:
        request: What is asked.
        gpus: On each machine.
        python: The interpreter of verl's environment, the same on every machine.
        reward: Text of the file with `compute_score`.
    """
    folder = TrainingFolder(Path(request.output))
    root = (folder.root / "verl").resolve()
    copy_source(folder.source, request)
    files = {"train": root / "train.parquet", "agents": root / "agents.yaml", "reward": root / "reward.py"}
    write_dataset(folder.rows, files["train"])
    write_atomically(files["agents"], write_agents(request).encode())
    write_atomically(files["reward"], reward.encode())
    overrides = list_overrides(request, files, gpus)
    write_atomically(root / "overrides.txt", "".join(f"{line}\n" for line in overrides).encode())
    source = folder.source.resolve()
    for name, text in (
        ("launch.sh", write_launch(python, source, overrides)),
        ("submit.sh", write_submit(python, source, overrides)),
    ):
        write_atomically(root / name, text.encode())
        (root / name).chmod(0o755)
    return overrides


def write_dataset(rows: Path, target: Path) -> None:
    """Write the rows for verl's RLHFDataset, in the same order."""
    with TableFile(target, SCHEMA, {}) as file:
        for number, row in enumerate(read_parquet([rows], (*COLUMNS, "messages"))):
            extra = {"split": "train", "index": number, "need_tools_kwargs": False}
            extra |= {name: row[name] for name in COLUMNS}
            prompt, golds = json.loads(row["messages"]), json.loads(row["golds"])
            file.append({**write_prompt_row(SOURCE, prompt, golds, extra), "agent_name": STREAM_AGENT})


def write_agents(request: RlRequest) -> str:
    """Return the agent loop for verl's `agent_loop_config_path`."""
    target = "pipeline.training.trainers.verl_agent_loop.SearchAgentLoop"
    loop = {"name": STREAM_AGENT, "_target_": target, "rollouts": request.rollouts.model_dump_json()}
    return yaml.safe_dump([loop], sort_keys=False)


def write_launch(python: str, source: Path, overrides: Sequence[str]) -> str:
    """Return a script for one machine, or for the head of a running cluster."""
    return "\n".join(
        [
            "#!/bin/bash",
            "set -euo pipefail",
            "# One machine. On several: start Ray on each (submit.sh says how), then run submit.sh on any of them.",
            f"export PYTHONPATH={shlex.quote(str(source))}",
            f"exec {_write_words(python, overrides)}",
            "",
        ]
    )


def write_submit(python: str, source: Path, overrides: Sequence[str]) -> str:
    """Return a script that submits the training to a Ray cluster, independent of the terminal."""
    runtime = shlex.quote(json.dumps({"env_vars": {"PYTHONPATH": str(source), "TOKENIZERS_PARALLELISM": "false"}}))
    return "\n".join(
        [
            "#!/bin/bash",
            "set -euo pipefail",
            "# On the head:       ray start --head --dashboard-host=0.0.0.0",
            "# On every other:    ray start --address=HEAD:6379",
            "# Both with the ray of verl's environment. Then here, with RAY_ADDRESS=http://HEAD:8265:",
            ': "${RAY_ADDRESS:=http://127.0.0.1:8265}"',
            f'exec {shlex.quote(python)} -m ray.scripts.scripts job submit --address="$RAY_ADDRESS" --no-wait \\',
            f"  --runtime-env-json={runtime} \\",
            f"  -- {_write_words(python, overrides)}",
            "# Then: ray job status ID, ray job logs --follow ID; the same script goes on from the last checkpoint.",
            "",
        ]
    )


def _write_words(python: str, overrides: Sequence[str]) -> str:
    return " \\\n  ".join([f"{shlex.quote(python)} -m verl.trainer.main_ppo", *map(shlex.quote, overrides)])
