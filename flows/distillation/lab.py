"""Laboratory: a small distillation from cold start to student, with an evaluation of each of its
models on a benchmark.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from flows.distillation.configs import STUDENT, UNTRAINED, configure_validation, locate_base, name_teacher
from flows.distillation.loop import start_distillation
from flows.distillation.session import BEFORE, DistillationSession
from flows.distillation.training import is_trained
from flows.monitoring.progress import show_questions
from pipeline.distillation.folders import DistillFolder
from pipeline.evaluation.benchmarks import read_benchmark
from pipeline.training.folders import TrainingFolder
from schemas.config import RunConfig
from schemas.evaluations import EvalMethod, EvalSettings


def run_lab(
    root: Path,
    config: RunConfig,
    cache: Path,
    bench: tuple[Path, Path] | None,
    sample: int | None,
    console: Console,
    other_version: bool = False,
) -> None:
    """Distill, then evaluate each model on a benchmark. Raises RampforgeError.

    `bench`: the questions, and the passages to search for them; `sample`: number of questions to draw; `other_version`:
    resume what other versions have started.
    """
    if bench is not None:
        read_benchmark(bench[0])  # report an invalid file of questions now rather than after all rounds
    start_distillation(root, config, cache, None, console, other_version)
    if bench is None:
        return
    folder = DistillFolder(root)
    settings = EvalSettings(method=EvalMethod.POLICY, sample=sample)
    with DistillationSession(folder, config, cache, console) as session:
        evaluated = [ask_model(session, name, model, bench, settings) for name, model in list_models(session)]
    from flows.evaluation.run import compare_evaluations

    table, page = compare_evaluations(evaluated, force=False)
    Console().print(table, highlight=False, markup=False, soft_wrap=True)
    console.print(f"side by side: {page}", highlight=False, markup=False, soft_wrap=True)


def list_models(session: DistillationSession) -> Iterator[tuple[str, Path]]:
    """Return all models to compare, the untrained one first."""
    folder = session.folder
    records = folder.records()
    yield UNTRAINED, locate_base(session.config, session.cache)
    for record in records:
        if record.checkpoint:
            yield name_teacher(record.number), folder.root / record.checkpoint
    for kind in ("sft", "rl"):
        trained = TrainingFolder(folder.student(records[-1].number) / kind)
        if is_trained(trained):
            yield f"{STUDENT}-{kind}", trained.model


def ask_model(
    session: DistillationSession, name: str, model: Path, bench: tuple[Path, Path], settings: EvalSettings
) -> Path:
    """Evaluate a model on the questions, and return the evaluation's folder. A finished evaluation
    is left unchanged.
    """
    from flows.evaluation.run import RESULTS, evaluate

    questions, corpus = bench
    out, first = (session.folder.root / "eval" / one for one in (name, UNTRAINED))
    if not (out / RESULTS).exists():
        session.tell(f"{name} answers {questions}")
        config = session.serve(BEFORE, model, configure_validation(session.config, name))
        own = name == UNTRAINED  # the first builds the index, the others search it
        with session.step(BEFORE, "eval"), show_questions(session.console) as note:
            evaluate(
                questions,
                out,
                settings,
                config,
                session.cache,
                index=None if own else first,
                corpus=corpus if own else None,
                note=note,
            )
    return out
