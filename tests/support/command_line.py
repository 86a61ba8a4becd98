"""Runs the command line as a user does: another process, its exit code, what it printed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

RAMPFORGE = [sys.executable, "-m", "rampforge"]


def start(environment: Mapping[str, str], *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*RAMPFORGE, *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def rampforge(environment: Mapping[str, str], *words: str) -> tuple[int, str]:
    process = start(environment, *words)
    output, _ = process.communicate(timeout=240)
    return process.returncode, output
