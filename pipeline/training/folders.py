"""Layout of the folder of a training, and its complete checkpoints.

    request.json            what was asked, and the digest of the rows
    data/rows.parquet       the rows, as the trainer reads them; data/rejects.jsonl those left out
    source/                 the part of rampforge that the trainer imports
    trainer.log             all that the trainer printed
    metrics.jsonl           a line for each logged step
    samples.jsonl           completions of one group of each step, with their masks and rewards
    checkpoints/            checkpoint-<step>/; one is whole when its marker, written last, is there
    model/                  the final model: there whole or not at all
    result.json             what came of it

Light enough for the trainers' environments: the standard library only.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

MARKER = "whole.json"
CHECKPOINT = re.compile(r"checkpoint-(\d+)")


@dataclass(frozen=True, slots=True)
class TrainingFolder:
    """Paths of one training."""

    root: Path

    @property
    def request(self) -> Path:
        """Return the path of the request."""
        return self.root / "request.json"

    @property
    def rows(self) -> Path:
        """Return the path of the rows."""
        return self.root / "data" / "rows.parquet"

    @property
    def rejects(self) -> Path:
        """Return the path of the rejected rows, with reasons."""
        return self.root / "data" / "rejects.jsonl"

    @property
    def source(self) -> Path:
        """Return the folder of the rampforge modules that the trainer imports."""
        return self.root / "source"

    @property
    def log(self) -> Path:
        """Return the path of the trainer's log."""
        return self.root / "trainer.log"

    @property
    def metrics(self) -> Path:
        """Return the path of the metrics."""
        return self.root / "metrics.jsonl"

    @property
    def samples(self) -> Path:
        """Return the path of the sampled completions."""
        return self.root / "samples.jsonl"

    @property
    def attempt(self) -> Path:
        """Return the path of the last attempt's measurements."""
        return self.root / "attempt.json"

    @property
    def checkpoints(self) -> Path:
        """Return the folder of the checkpoints."""
        return self.root / "checkpoints"

    @property
    def model(self) -> Path:
        """Return the folder of the final model."""
        return self.root / "model"

    @property
    def result(self) -> Path:
        """Return the path of the result."""
        return self.root / "result.json"


def mark_whole(checkpoint: Path, step: int) -> None:
    """Mark a checkpoint as complete, after the trainer has written everything else."""
    temporary = checkpoint / f".{MARKER}.tmp"
    with temporary.open("w", encoding="utf-8") as file:
        json.dump({"step": step}, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(checkpoint / MARKER)


def find_checkpoint(folder: TrainingFolder) -> tuple[Path, int] | None:
    """Return the newest complete checkpoint and its step; a partial one is skipped."""
    found = []
    for path in folder.checkpoints.glob("checkpoint-*"):
        match = CHECKPOINT.fullmatch(path.name)
        if match and is_whole(path, int(match[1])):
            found.append((int(match[1]), path))
    return (max(found)[1], max(found)[0]) if found else None


def is_whole(checkpoint: Path, step: int) -> bool:
    """Return whether the checkpoint has its own marker."""
    try:
        marker = json.loads((checkpoint / MARKER).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(marker, dict) and marker.get("step") == step
