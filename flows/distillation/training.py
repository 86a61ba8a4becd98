"""Training of teachers and the student on the union of the rounds, with the trainers of `rampforge train`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flows.distillation.configs import TAUGHT_STAGES, locate_base
from flows.distillation.session import DistillationSession
from flows.stages.difficulties import read_difficulties
from flows.training.run import Launch, run_rl, run_sft
from pipeline.assets.store import resolve_model
from pipeline.distillation.joining import join_runs
from pipeline.distillation.stopping import find_best
from pipeline.errors import SearchError
from pipeline.serving.bound_process import BoundProcess
from pipeline.serving.managed_server import LOOPBACK, find_port
from pipeline.storage.run_folder import RunFolder
from pipeline.training.folders import TrainingFolder
from schemas.distill_config import OnRegression, StartFrom, TuningConfig
from schemas.rounds import RoundRecord, TeacherTraining
from schemas.training import TrainingResult
from schemas.trajectories import HideMode

SEARCH_SECONDS = 120.0


def train_teacher(session: DistillationSession, number: int, records: Sequence[RoundRecord]) -> TeacherTraining:
    """Fine-tune the teacher of a round on the accepted trajectories of earlier rounds. Raises DistillError."""
    folder = session.folder.teacher(number)
    if not is_trained(folder):
        union = session.folder.union(number)
        with session.step(number, "join"):
            join_runs([session.folder.round(earlier) for earlier in range(number)], union, TAUGHT_STAGES)
        session.stop_serving()
        with session.step(number, "train"):
            tune(session, union, locate_start(session, records), folder.root, session.config.distill.sft)
    return describe_training(folder)


def choose_start(session: DistillationSession, records: Sequence[RoundRecord]) -> int:
    """Return the round whose teacher the next one is trained from; 0 for the base model.

    A rejected teacher is replaced by the best earlier one.
    """
    config, last = session.config.distill, records[-1]
    if config.start_from is StartFrom.BASE or not last.number:
        return 0
    if last.regression is not None and config.on_regression is OnRegression.FALL_BACK:
        best = find_best(records)
        return best.number if best else last.number
    return last.number


def locate_start(session: DistillationSession, records: Sequence[RoundRecord]) -> Path:
    """Return the location of that model. Raises AssetError."""
    chosen = choose_start(session, records)
    return session.folder.teacher(chosen).model if chosen else locate_base(session.config, session.cache)


def name_start(session: DistillationSession, records: Sequence[RoundRecord]) -> str:
    """Return its name for the record: that of the base model, or a path in the folder."""
    chosen = choose_start(session, records)
    return session.folder.locate(session.folder.teacher(chosen).model) if chosen else session.config.distill.base


def train_student(session: DistillationSession, records: Sequence[RoundRecord]) -> Path | None:
    """Fine-tune the student on all rounds, then train it with search if configured; return its model's folder."""
    config, last = session.config.distill, records[-1].number
    if not config.student.enabled or not any(record.accepted for record in records):
        return None
    out = session.folder.student(last)
    union = RunFolder(out / "union")
    tuned, trained = TrainingFolder(out / "sft"), TrainingFolder(out / "rl")
    base = Path(resolve_model(config.student.base or config.base, session.cache))
    if not is_trained(tuned):
        with session.step(last, "student"):
            join_runs([session.folder.round(record.number) for record in records], union, TAUGHT_STAGES)
            session.stop_serving()
            tune(session, union, base, tuned.root, config.student.sft)
    if not config.student.rl.steps or is_trained(trained):
        return trained.model if config.student.rl.steps else tuned.model
    taught = [record.number for record in records if record.checkpoint] or [record.number for record in records]
    tried = RunFolder(out / "union-rl")
    with session.step(last, "student"):
        join_runs([session.folder.round(number) for number in taught], tried, TAUGHT_STAGES)
        rates = [difficulty.pass_rate for difficulty in read_difficulties(tried).values()]
    if rates and not any(rate is not None and 0 < rate < 1 for rate in rates):
        session.tell(f"no reinforcement learning: of {len(rates)} tasks none was solved sometimes but not always")
        return tuned.model
    session.stop_serving()
    with session.step(last, "student"), serve_search(session) as url:
        reinforce(session, tried, tuned.model, trained.root, url, learnable=bool(rates))
    return trained.model


def tune(session: DistillationSession, union: RunFolder, base: Path, out: Path, config: TuningConfig) -> None:
    """Fine-tune on a judged run; an interrupted training resumes from its last checkpoint."""
    rendering = session.config.policy.rendering
    launch = Launch(union.root, str(base), out, rendering, fresh=False, gpus=config.gpus)
    weights = config.model_dump(include={"tuning", "lora_rank", "learning_rate", "bf16", "checkpointing"})
    same = {"steps", "epochs", "batch", "accumulate", "max_length", "curriculum", "save_every"}
    run_sft(launch, {"weights": weights, "seed": session.config.seed, **config.model_dump(include=same)})


def reinforce(
    session: DistillationSession, tried: RunFolder, base: Path, out: Path, url: str, *, learnable: bool
) -> None:
    """Train with search, only on tasks that were solved sometimes where teachers have measured that."""
    config, policy = session.config.distill.student.rl, session.config.policy
    launch = Launch(tried.root, str(base), out, policy.rendering, fresh=False, gpus=config.gpus, learnable=learnable)
    search = session.config.search
    hide = any(mode is not HideMode.NONE for mode in search.hide)
    rollouts: Mapping[str, Any] = {
        "rendering": policy.rendering,
        "search": {"url": url, "k": search.k, "hide": hide},  # same settings as in the rounds
        **config.model_dump(include={"group", "turns", "max_completion", "max_turn", "max_results", "reward"}),
    }
    weights = {"learning_rate": config.learning_rate, "tuning": config.tuning, "schedule": "constant"}
    same = {"steps", "batch", "accumulate", "resample", "max_prompt", "save_every"}
    options = {"weights": weights, "rollouts": rollouts, "seed": session.config.seed}
    run_rl(launch, options | config.model_dump(include=same))


@contextmanager
def serve_search(session: DistillationSession) -> Iterator[str]:
    """Run the search server over the index of the rounds during the block; yield its URL."""
    port = find_port()
    run = str(session.folder.base.root)
    argv = [sys.executable, "-P", "-m", "rampforge", "search", "serve", run, "--port", str(port)]
    log = session.folder.logs / "search.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as printed, BoundProcess(argv, os.environ, printed) as server:
        url = f"http://{LOOPBACK}:{port}"
        if not server.wait_until_healthy(f"{url}/healthz", SEARCH_SECONDS):
            raise SearchError("the search server did not start", f"see {log}")
        yield url


def is_trained(folder: TrainingFolder) -> bool:
    """Return whether a training is finished."""
    return folder.result.exists() and folder.model.exists()


def describe_training(folder: TrainingFolder) -> TeacherTraining:
    """Return the record of a finished training."""
    result = TrainingResult.model_validate_json(folder.result.read_bytes())
    losses = [step.values["loss"] for step in result.curve if "loss" in step.values]
    return TeacherTraining(
        rows=result.rows,
        steps=result.steps,
        first_loss=losses[0] if losses else None,
        last_loss=losses[-1] if losses else None,
        tokens_per_second=result.tokens_per_second,
    )
