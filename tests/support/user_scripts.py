"""Runs scripts as a user does: in a folder of their own, with rampforge on the path."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.support.places import REPOSITORY

API = REPOSITORY / "flows" / "python-api"
"""The folder that `rampforge` is imported from."""


def run_script(
    folder: Path, source: str, *, path: Sequence[Path] = (REPOSITORY, API), options: Sequence[str] = ()
) -> tuple[int, str]:
    """Run a script in its folder; its exit code, and what it printed."""
    (folder / "script.py").write_text(source)
    ended = subprocess.run(
        [sys.executable, *options, "script.py"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, path))},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
    )
    return ended.returncode, ended.stdout
