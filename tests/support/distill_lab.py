"""A folder in which `rampforge distill` works with stand-ins for its trainers and servers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.distillation.folders import DistillFolder
from tests.support.command_line import start
from tests.support.sample_dump import write_dump
from tests.support.scripted_distillation import install_environments, read_log
from tests.support.tiny_policies import write_model

TIMEOUT = 900
SERVING = "serving={mode: managed, environment: vllm-cpu, model: x, roles: [policy], max_in_flight: 8}"
SETTINGS = [
    "masking.ner=null",
    "masking.scorer=null",
    "masking.selection=random",
    "masking.tasks_per_passage=2",
    "corpus.pages_per_shard=40",
    "execution.workers=1",
    "search.k=2",
    "search.hide=[none]",
    "policy={max_prompt: 4096, max_turn: 1024, max_results: 2048, max_completion: 3900, turns: 2}",
    "llm.roles={policy: {model: teacher}}",
    SERVING,
    "distill.tasks=[12, 8]",
    "distill.attempts=2",
    "distill.rounds=2",
    "distill.curriculum=[[1], [1, 2]]",
    "distill.validation={tasks: 6, share: 0.2, mask_counts: [1]}",
    "distill.sft={max_length: 16000, gpus: 0}",
    "distill.student.sft={max_length: 16000, gpus: 0}",
]


class Lab:
    """A folder with stand-ins, a base model and a dump, and the command that works in it."""

    def __init__(self, folder: Path, server: Mapping[str, str]) -> None:
        self.folder = folder
        self.environment = {**server, **install_environments(folder)}
        self.base = write_model(folder / "base-model", b"untrained")
        self.dump = write_dump(folder / "towns.xml.bz2", towns=60)
        self.root = folder / "out" / "loop"
        self.distilled = DistillFolder(self.root)

    def words(self, *more: str) -> list[str]:
        settings = [*SETTINGS, f"distill.base={self.base}", f"corpus.sources=[{json.dumps(str(self.dump))}]", *more]
        return ["distill", "loop", "--out", str(self.root.parent), *[w for s in settings for w in ("--set", s)]]

    def run(self, *more: str) -> tuple[int, str]:
        return self.command(*self.words(*more))

    def adopting(self, finished: Lab, *more: str) -> list[str]:
        """One round on top of a round 0 that is there, nothing held out and no student: the shortest loop there is."""
        settings = [SERVING, "distill.rounds=1", "distill.student.enabled=false", "distill.validation.tasks=0", *more]
        adopted = str(finished.distilled.round(0).root)
        words = ["distill", "loop", "--out", str(self.root.parent), "--from", adopted]
        return [*words, *[w for s in settings for w in ("--set", s)]]

    def command(self, *words: str) -> tuple[int, str]:
        process = start(self.environment, *words)
        output, _ = process.communicate(timeout=TIMEOUT)
        return process.returncode, " ".join(output.split())

    def say(self, **told: Any) -> None:
        """What models say from now on."""
        (self.folder / "say.json").write_text(json.dumps(told))

    def log(self, program: str) -> list[dict[str, Any]]:
        return [line for line in read_log(self.folder) if line["program"] == program]
