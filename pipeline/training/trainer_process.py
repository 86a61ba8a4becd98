"""Process of a trainer, with a diagnosis of its failure.

Promises: the trainer dies with us; all it printed is in its log; its last words are in the error, with what to lower
when memory ran out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pipeline.serving.bound_process import BoundProcess
from pipeline.training.requests import TrainingError

TAIL_LINES = 15
LINE_CHARS = 300
POLL_SECONDS = 0.5
GPU_MEMORY = re.compile(r"OutOfMemoryError|CUDA out of memory|CUBLAS_STATUS_ALLOC_FAILED", re.IGNORECASE)
KILLED = re.compile(r"Signals\.SIGKILL|exitcode\s*: -9|Signal 9 ")
KILL_CODES = (-9, 137)
NOISE = re.compile(
    r"^\s*(?:$|\^+$|File \"|Traceback|[\w./]*Warning:|warnings\.warn)"
    r"|\d+%\||(?:it|examples)/s\]"  # a progress bar
    r"|^\s*(?:main|launch_command|simple_launcher)\(|CalledProcessError"  # accelerate's own way out
)

Watch = Callable[[], None]
"""Callback, polled while the trainer runs."""


def run_trainer(
    command: Sequence[str],
    variables: Mapping[str, str],
    log: Path,
    watch: Watch,
    lower: Sequence[str],
    again: str,
) -> None:
    """Run a trainer to its end. Raises TrainingError when it ends badly.

    Args:
        command: The words that start it.
        variables: All its environment variables.
        log: Takes what it prints, added to what is there.
        watch: Called every half second.
        lower: What to lower when memory runs out, most helpful first.
        again: The command that goes on from the last checkpoint.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    start = log.stat().st_size if log.exists() else 0
    with log.open("ab") as printed:
        try:
            process = BoundProcess(command, variables, printed)
        except OSError as error:
            raise TrainingError(f"cannot run {command[0]}: {error.strerror}", "rampforge env list --check") from None
        with process:
            while (code := process.wait(POLL_SECONDS)) is None:
                watch()
            watch()
    if code:
        with log.open("rb") as printed:
            printed.seek(start)
            words = printed.read().decode("utf-8", "replace")
        raise TrainingError(*explain_death(code, words, log, lower, again))


def explain_death(code: int, words: str, log: Path, lower: Sequence[str], again: str) -> tuple[str, str]:
    """Return the error, with the trainer's last lines and the next command."""
    tail = "\n".join(f"  {line[:LINE_CHARS]}" for line in pick_last_lines(words))
    last = f" Its last lines, of {log}:\n{tail}" if tail else f" It printed nothing; see {log}"
    if GPU_MEMORY.search(words):
        return f"the GPU's memory ran out.{last}", f"lower {', or '.join(lower)}; then: {again}"
    if code in KILL_CODES or KILLED.search(words):
        fix = f"go on from the last checkpoint: {again}; if memory ran out, lower {', or '.join(lower)}"
        return f"the trainer was killed.{last}", fix
    return f"the trainer ended with {code}.{last}", f"mend what it names, then go on: {again}"


def pick_last_lines(words: str) -> list[str]:
    """Return the last informative lines; of a progress bar only its last state."""
    lines = (line.rsplit("\r", 1)[-1].rstrip() for line in words.splitlines())
    return [line for line in lines if not NOISE.match(line)][-TAIL_LINES:]
