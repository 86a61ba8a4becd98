"""The deployed flows that make and measure models: one more round of self-distillation; an evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.artifacts import create_link_artifact, create_table_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed
from rich.console import Console

from flows.configuration.cache import cache_folder
from flows.configuration.recalled_config import recall_config
from flows.deployments.parameters import take_sections
from flows.deployments.run_names import find_newest
from flows.deployments.scheduled_flows import (
    RUNNER,
    USUAL,
    fit_into_flow_run,
    name_flow_run,
    require_sources,
    wait_until_free,
)
from flows.distillation.loop import start_distillation
from flows.evaluation.run import PAGE, evaluate
from flows.monitoring.prefect_artifacts import attempt
from pipeline.distillation.folders import DistillFolder
from pipeline.errors import ConfigError
from pipeline.evaluation.benchmarks import find_benchmark
from schemas.config import CorpusConfig, RunConfig, StageName
from schemas.distill_config import DistillConfig
from schemas.evaluations import EvalMethod, EvalSettings, EvaluationResult
from schemas.llm_config import LlmConfig
from schemas.policies import PolicyConfig
from schemas.search_config import SearchServiceConfig
from schemas.serving_config import ServingConfig


@flow(name="distillation-round", flow_run_name="{name}", task_runner=RUNNER, persist_result=False)
@take_sections("search_service", "report", "watch", "store", "decontamination")
def distillation_round(
    corpus: CorpusConfig,
    name: str = "distillation",
    out: str = "outputs",
    seed: int = 0,
    distill: DistillConfig = USUAL.distill,
    **sections: Any,
) -> State[Any]:
    """Do one more round of a self-distillation: the first flow run makes the cold start, each later one a round.

    Args:
        name: Name of the distillation: its folder.
        out: Folder that distillations land in; all workers must see it.
        seed: Every random choice follows from it and from content.
        distill: Rounds of self-distillation; distill.rounds is the last that is made.
    """
    require_sources(corpus)
    folder = DistillFolder(Path(out) / name)
    done = len(folder.records())
    rounds = distill.model_copy(update={"rounds": min(done, distill.rounds)})
    config = RunConfig(seed=seed, corpus=corpus, distill=rounds, **sections)
    config = fit_into_flow_run(str(folder.root), config)
    wait_until_free(lambda: start_distillation(folder.root, config, cache_folder(), None, Console(stderr=True)))
    records = folder.records()
    publish(folder.report, "rounds", [record.model_dump(mode="json") for record in records])
    return Completed(message=f"{folder.root}: rounds finished: {len(records)}; report: {folder.report}")


@flow(name="evaluation", flow_run_name=name_flow_run, task_runner=RUNNER, persist_result=False)
def evaluation(
    benchmark: str,
    name: str = "evaluation-{date}",
    method: EvalMethod = EvalMethod.RAG_PE,
    run: str = "corpus-*",
    out: str = "outputs",
    runs: int = 1,
    sample: int | None = None,
    seed: int = 0,
    judge: bool = False,
    policy: PolicyConfig = USUAL.policy,
    search_service: SearchServiceConfig = USUAL.search_service,
    llm: LlmConfig = USUAL.llm,
    serving: ServingConfig = USUAL.serving,
) -> State[Any]:
    """Answer the questions of a benchmark over the newest index, and measure the answers.

    Args:
        benchmark: A file of questions, or one by name; `rampforge eval --help` lists them.
        name: Name of the evaluation; {date}, {week} and {time} stand for when it was to start, in UTC.
        method: How questions are answered.
        run: The run whose index is searched, or a pattern: then the last one by name whose index is built.
        out: Folder that runs and evaluations land in; all workers must see it.
        runs: Times each question is answered.
        sample: Ask so many questions, drawn evenly; null for all.
        seed: Decides the draw.
        judge: Ask the model of the role `judge` about each answer too.
    """
    if not benchmark:
        raise ConfigError("benchmark is empty: no questions to answer", "name a file of questions in the form")
    cache, newest = cache_folder(), find_newest(out, run, StageName.INDEX)
    sections = {"policy": policy, "search_service": search_service, "llm": llm, "serving": serving}
    folder = Path(out) / "evaluations" / name_flow_run()
    config = recall_config(newest).model_copy(update=sections)
    config = fit_into_flow_run(str(folder), config)
    settings = EvalSettings(method=method, runs=runs, sample=sample, seed=seed, judge=judge)
    questions = find_benchmark(benchmark, cache / "benchmarks")
    result = wait_until_free(lambda: evaluate(questions, folder, settings, config, cache, index=newest.root))
    publish(folder / PAGE, "evaluation", list_metrics(result))
    return Completed(message=f"{folder}: {result.finished} of {result.answers} answers; report: {folder / PAGE}")


def publish(report: Path, name: str, rows: list[dict[str, Any]]) -> None:
    """Show Prefect the figures as a table, and the way to the report."""
    link = report.resolve().as_uri()
    attempt(lambda: create_table_artifact(table=rows, key=name, description=f"Report: {report}"))
    attempt(lambda: create_link_artifact(link, link_text=f"Report of {report.parent.name}", key="report"))


def list_metrics(result: EvaluationResult) -> list[dict[str, Any]]:
    """The figures as rows of a table."""
    return [
        {"benchmark": group.name, "questions": group.questions, "metric": metric, **figure.model_dump(mode="json")}
        for group in result.groups
        for metric, figure in group.metrics.items()
    ]
