"""Duration of the steps of each round: one line per session of a step."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from pipeline.storage.jsonl import JsonlLog
from schemas.rounds import StepSeconds

WORK = ("train", "serve", "validate")
"""Steps besides the stages that train or call language models."""


class StepLog:
    """Log of one distillation, written by one process."""

    def __init__(self, path: Path) -> None:
        self._log = JsonlLog(path)

    def add(self, number: int, step: str, seconds: float) -> None:
        """Log a session of a step."""
        key = f"{number:02d}/{step}/{len(self._log)}"
        line = {"key": key, "round": number, "step": step, "seconds": round(seconds, 3)}
        self._log.append(key, json.dumps(line).encode() + b"\n")

    def sum_round(self, number: int) -> tuple[StepSeconds, ...]:
        """Seconds of a round by step, over all sessions, in order of first occurrence."""
        seconds: Counter[str] = Counter()
        for key in sorted(self._log.keys, key=lambda key: int(key.rsplit("/", 1)[1])):
            line = self._log.read(key)
            if line["round"] == number:
                seconds[line["step"]] += line["seconds"]
        return tuple(StepSeconds(step=step, seconds=round(spent, 3)) for step, spent in seconds.items())

    def close(self) -> None:
        """Close the file."""
        self._log.close()


def measure_overhead(seconds: tuple[StepSeconds, ...], stages: Collection[str]) -> float:
    """Share of the time outside language models, training and search; `stages`: those that call models or search."""
    whole = sum(step.seconds for step in seconds)
    return sum(step.seconds for step in seconds if step.step not in (*WORK, *stages)) / whole if whole else 0.0
