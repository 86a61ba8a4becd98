"""A storm of kills: the whole process group is killed at random moments, again and again, and nothing differs."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipeline.storage.hashing import hash_file
from tests.runs.test_llm_run import answer
from tests.support.command_line import RAMPFORGE, rampforge
from tests.support.fault_server import FaultServer
from tests.support.sample_dump import write_dump

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]

KILLS, KILLS_WITH_MODEL = 30, 4
LIGHT = "masking.ner=null masking.scorer=null masking.selection=random corpus.pages_per_shard=15 execution.workers=2"
STARTING = 1.0
"""Seconds in which a process has hardly begun: half of the kills come later."""


@dataclass
class Storm:
    """Runs one job again and again, killed at moments drawn from a seed."""

    environment: Mapping[str, str]
    words: Sequence[str]
    out: Path
    seed: int
    kills: int = 0
    runs: int = 0
    differing: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def blow(self, wanted: int) -> None:
        """Kill so many times, over as many runs as that takes; each run is brought to its end and compared."""
        rng = random.Random(self.seed)
        started = time.monotonic()
        whole = self._finish("whole")
        length = time.monotonic() - started
        while self.kills < wanted:
            self.runs += 1
            name = f"run-{self.runs}"
            while self.kills < wanted and self._kill(name, rng.uniform(STARTING, length)):
                self.kills += 1
            found = self._finish(name)
            self.differing += [path for path in found.keys() | whole.keys() if found.get(path) != whole.get(path)]
            self.left += find_leftovers(self.out / name)

    def _finish(self, name: str) -> dict[str, str]:
        code, output = rampforge(self.environment, *self.words, "--out", str(self.out), "--name", name)
        assert code == 0, output
        paths = (self.out / name).rglob("*.parquet")
        return {str(path.relative_to(self.out / name)): hash_file(path) for path in paths}

    def _kill(self, name: str, seconds: float) -> bool:
        """Start, wait and kill the group; whether it was still at work."""
        command = [*RAMPFORGE, *self.words, "--out", str(self.out), "--name", name]
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(command, env=self.environment, stdout=quiet, stderr=quiet, start_new_session=True)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return True
        assert process.returncode == 0
        return False


def find_leftovers(run: Path) -> list[str]:
    """What a finished run has no use for: hidden files but the lock, journals, live files."""
    files = (path.relative_to(run) for path in run.rglob("*") if path.is_file())
    hidden = [path for path in files if any(part.startswith(".") for part in path.parts)]
    return [str(path) for path in hidden if str(path) != ".lock"] + [
        name for name in ("journals", "live") if any((run / name).rglob("*.json*"))
    ]


def settle(*settings: str) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


def test_thirty_kills_change_nothing(prefect_server: Mapping[str, str], tmp_path: Path) -> None:
    dump = write_dump(tmp_path / "towns.xml.bz2", towns=60)
    storm = Storm(prefect_server, ["run", str(dump), *settle(*LIGHT.split())], tmp_path, seed=19)
    storm.blow(KILLS)
    print(f"{storm.kills} kills over {storm.runs} runs, {len(storm.differing)} files differ")  # noqa: T201  # the count
    assert storm.kills == KILLS
    assert storm.differing == []
    assert storm.left == []


def test_kills_with_a_language_model_change_nothing(prefect_server: Mapping[str, str], tmp_path: Path) -> None:
    dump = write_dump(tmp_path / "towns.xml.bz2", towns=20)
    models = ["agents.policy=agents", "judging.judge=llm", 'llm.roles={default: {model: "m"}}', "masking.limit=20"]
    with FaultServer() as server:
        server.answer = answer
        endpoint = f'llm.endpoints={{local: {{url: "{server.url}"}}}}'
        words = ["run", str(dump), *settle(*LIGHT.split(), *models, endpoint)]
        storm = Storm(prefect_server, words, tmp_path, seed=7)
        storm.blow(KILLS_WITH_MODEL)
        print(f"{storm.kills} kills over {storm.runs} runs, {sum(server.answered.values())} answers")  # noqa: T201
    assert storm.differing == []
    assert storm.left == []
