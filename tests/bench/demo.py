"""The whole demo, assets and installation apart: how long, and how much of it is the stages' own work."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pipeline.storage.run_folder import RunFolder
from tests.bench.figures import Figure

WANTED_TASKS = 300
WANTED_SECONDS = 240


def run() -> list[Figure]:
    """All figures of this benchmark."""
    with tempfile.TemporaryDirectory() as out:
        started = time.monotonic()
        command = [sys.executable, "-m", "rampforge", "run", "--config", "demo", "--name", "demo", "--out", out]
        subprocess.run(command, check=True, capture_output=True)
        seconds = time.monotonic() - started
        run_folder = RunFolder(Path(out) / "demo")
        timings = run_folder.record().timings
        tasks = run_folder.manifest("tasks").rows("tasks")
    work = sum(timing.work_seconds for timing in timings)
    stages = sum(timing.seconds for timing in timings)
    figures = [
        Figure("wall time", seconds, "s", f"<= {WANTED_SECONDS}"),
        Figure("tasks", float(tasks), "", f">= {WANTED_TASKS}"),
        Figure("bare work of the stages / wall time", work / seconds, "x", ">= 0.7", "two processes: at most 2"),
        Figure("outside the stages: Prefect, start, imports", seconds - stages, "s"),
    ]
    for timing in timings:
        note = f"{timing.inputs:,} inputs, work {timing.work_seconds:.1f} s"
        figures.append(Figure(f"stage {timing.stage}", timing.seconds, "s", note=note))
    return figures
