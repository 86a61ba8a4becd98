"""The frameworks that we are measured against, each in an environment of its own; without it one is left out.

`python -m tests.bench peers-install` builds the environments, in a few minutes each. A peer's driver is a program of
this folder that the peer's own interpreter runs; it prints one line of JSON, like ours tells it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass
from pathlib import Path

from flows.configuration.environments import environments_folder
from tests.bench.llm_clients import Result

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 400.0
"""Seconds that a peer's whole program may take."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A framework, as benchmarked."""

    name: str
    requirement: str
    driver: str

    @property
    def folder(self) -> Path:
        """Its environment."""
        return environments_folder() / f"bench-{self.name}"

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    def is_installed(self) -> bool:
        """Whether the environment holds just what is pinned."""
        name, _, version = self.requirement.partition("==")
        code = f"import importlib.metadata as m; assert m.version({name!r}) == {version!r}"
        return self.python.exists() and subprocess.run([self.python, "-c", code], capture_output=True).returncode == 0

    def install(self) -> None:
        """Build the environment."""
        venv.create(self.folder, clear=True, with_pip=True)
        subprocess.run([self.python, "-m", "pip", "install", "--quiet", self.requirement], check=True)

    def drive(self, url: str, in_flight: int, items: int) -> Result:
        """The workload through it. Raises RuntimeError, with its last words, where it fails."""
        variables = {**os.environ, "PYTHONPATH": str(ROOT), "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1"}
        with tempfile.TemporaryDirectory() as folder:
            command = [str(self.python), str(ROOT / self.driver), url, str(in_flight), str(items)]
            done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=PATIENCE)
        lines = [line for line in done.stdout.splitlines() if line.startswith('{"seconds"')]
        if not lines:
            raise RuntimeError(f"{self.name} failed ({done.returncode}): {(done.stderr or done.stdout)[-2000:]}")
        result: Result = json.loads(lines[-1])
        return result


PEERS = (
    Peer("curator", "bespokelabs-curator==0.1.31", "tests/bench/peer_curator.py"),
    Peer("datadesigner", "data-designer==0.9.6", "tests/bench/peer_datadesigner.py"),
)


def install_peers() -> None:
    """Build what is missing."""
    for peer in PEERS:
        if not peer.is_installed():
            sys.stdout.write(f"installing {peer.requirement} into {peer.folder}\n")
            peer.install()
