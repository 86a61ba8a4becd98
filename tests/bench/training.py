"""Steps of a training of ours beside the same one written by hand with TRL, in turn; and what search and reward take.

Real weights (SmolLM2-135M) on the CPU, few and short rows; both do the same work, token by token, with the same seed.
Needs `rampforge env create trl`. What is judged is CPU time of one thread, step against step, since a step of ours and
one by hand do the same and follow each other at once; waiting, as for search, is in the share of the step, which is
wall time.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from flows.configuration.environments import environments_folder, read_recipe
from pipeline.serving.environments import clean_variables, find_environment
from pipeline.training.curves import read_curve
from pipeline.training.folders import TrainingFolder
from pipeline.training.launching import VARIABLES, copy_source
from pipeline.training.requests import settle_request
from pipeline.training.rl_rows import list_run_prompts, write_prompts
from pipeline.training.sft_rows import admit_rows
from schemas.renderings import RenderingName
from schemas.training import RlRequest, Rollouts, SearchEndpoint, SftRequest, TrainingRequest, Weights
from tests.bench.export import load_tokenizer
from tests.bench.figures import Figure
from tests.bench.sample import cut_sample, draw_passages, find_asset_path, make_tasks
from tests.pipeline.training.test_verl import serve_one_document

SFT_STEPS, RL_STEPS, WARM_UP = 12, 7, 1
"""Steps of each, the last of which is not timed; those that do not count."""
ROW_TOKENS = 64
PROGRAM = Path(__file__).parent / "by_hand" / "timed_trl.py"
Steps = list[dict[str, float]]


def run() -> list[Figure]:
    """All figures of this benchmark."""
    environment = find_environment(read_recipe("trl"), environments_folder())
    if environment is None:
        return [Figure("skipped: `rampforge env create trl` first", 0, "")]
    python = str(environment.python)
    with tempfile.TemporaryDirectory() as folder, serve_one_document() as url:
        sft = compare(python, "sft", ask_sft(Path(folder, "sft")))
        rl = compare(python, "rl", ask_rl(Path(folder, "rl"), url))
    return [*sft, *rl]


def compare(python: str, what: str, training: TrainingFolder) -> list[Figure]:
    """A step of ours beside one by hand, and the part of ours that is neither TRL's nor the model's."""
    ours, bare = time_steps(python, what, training)
    wall, cpu = (compare_steps(ours, bare, clock) for clock in ("wall", "cpu"))
    seconds = statistics.median(step["cpu"] for step in ours)
    note = f"median of {len(ours)} pairs of steps, ours {seconds:.2f} s; by wall time {wall:.3f}"
    figures = [Figure(f"{what}: a step / written by hand, CPU time", cpu, "x", "<= 1.05", note)]
    rollouts = [
        step.values["rollout/seconds"] for step in read_curve(training.metrics) if "rollout/seconds" in step.values
    ]
    if rollouts:
        shares = [
            (seconds - step["generating"]) / step["wall"]
            for seconds, step in zip(rollouts[WARM_UP:], ours, strict=False)  # the last step has no next one
        ]
        share = statistics.median(shares)
        figures.append(Figure(f"{what}: all but generation in the rollouts", share, "of a step", "<= 0.1"))
    return figures


def compare_steps(ours: Steps, bare: Steps, clock: str) -> float:
    """The median ratio of the steps that did the same."""
    return statistics.median(own[clock] / other[clock] for own, other in zip(ours, bare, strict=True))


def time_steps(python: str, what: str, training: TrainingFolder) -> tuple[Steps, Steps]:
    """The steps of both, in TRL's environment. Raises RuntimeError where they did not do the same work."""
    variables = clean_variables(os.environ) | VARIABLES | {"PYTHONPATH": str(training.source), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [python, PROGRAM, what, training.root],
        env=variables | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    said = json.loads(done.stdout.splitlines()[-1])
    ours, bare = said["ours"], said["bare"]
    if not ours["tokens"] or ours["tokens"] != bare["tokens"]:
        raise RuntimeError(f"not the same work: {ours['tokens']} and {bare['tokens']} tokens\n{done.stderr[-3000:]}")
    return ours["steps"][WARM_UP:], bare["steps"][WARM_UP:]


def ask_sft(root: Path) -> TrainingFolder:
    """A fine-tuning on real text, every row as long as the others."""
    training, tokenizer = TrainingFolder(root), load_tokenizer()
    texts = [passage.text for passage in draw_passages(cut_sample(ROW_TOKENS), 400)]
    ids = tokenizer("\n".join(texts), add_special_tokens=False)["input_ids"]
    rows = [ids[at : at + ROW_TOKENS] for at in range(0, 64 * ROW_TOKENS, ROW_TOKENS)]
    admit_rows([{"input_ids": row, "labels": row} for row in rows], training, ROW_TOKENS, len(tokenizer))
    return begin(training, SftRequest(**say(root, SFT_STEPS), max_length=ROW_TOKENS))


def ask_rl(root: Path, url: str) -> TrainingFolder:
    """A training with search: DAPO, dynamic sampling off, since by hand there is none."""
    training = TrainingFolder(root)
    tasks = make_tasks(draw_passages(cut_sample(ROW_TOKENS), 40))
    write_prompts(list_run_prompts(tasks, RenderingName.SEARCH_R1, True), training, load_tokenizer(), 330)
    rollouts = Rollouts(search=SearchEndpoint(url=url), group=4, turns=1, max_turn=32, max_completion=256)
    return begin(training, RlRequest(**say(root, RL_STEPS), rollouts=rollouts, resample=0, curriculum=True))


def say(root: Path, steps: int) -> dict[str, Any]:
    """What both requests say."""
    weights = Weights(learning_rate=1e-6, schedule="constant", bf16=False)
    base = find_asset_path("smollm2-135m-instruct")
    return {"base": base, "data": "bench", "output": str(root), "steps": steps, "batch": 4, "weights": weights}


def begin(training: TrainingFolder, request: TrainingRequest) -> TrainingFolder:
    """Put in place what a trainer reads."""
    settle_request(training, request, fresh=False)
    copy_source(training.source)
    return training
