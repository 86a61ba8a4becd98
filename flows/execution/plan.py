"""Inputs of a plan: the means of a run or the built-in ones, sizes of sources, machines."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import yaml
from pydantic import ValidationError

from flows.configuration.recalled_config import recall_config
from flows.configuration.run_context import RunContext
from flows.configuration.sources import find_sources
from flows.models.usage import locate_usage_log
from flows.stages.registry import STAGES, list_chat_roles, list_scaled_stages
from flows.stages.run_record import collect_funnel
from pipeline.errors import ConfigError
from pipeline.llm.usage_log import UsageLog
from pipeline.planning.estimate import Machines, estimate
from pipeline.planning.measuring import find_step, measure_run
from pipeline.planning.scaling import add_models, scale_up
from pipeline.planning.spending import compare_spending
from pipeline.planning.workload import plan_workload
from pipeline.storage.files import write_atomically
from pipeline.storage.run_folder import RunFolder
from schemas.config import RunConfig, StageName
from schemas.ledger import RunRecord
from schemas.plan import CostPlan, Means, PlanComparison
from schemas.scale_plan import MachineFleet, ScalePlan, WikiSize
from schemas.serving_config import ServingMode
from schemas.trajectories import Trajectory

SHIPPED = files("pipeline.planning") / "means.yaml"
SIZES = files("pipeline.planning") / "wiki_sizes.yaml"


@dataclass(frozen=True, slots=True)
class PlanQuestion:
    """Options of a plan, besides the configuration."""

    measured: Path | None
    """Run folder or file of means; None for the built-in means."""
    gpus: int | None
    """GPUs behind the endpoints, as given by the user."""
    tokens_per_second: float | None
    """Total throughput, as given by the user."""
    cache: Path
    """Folder of the assets."""
    cores: int
    """Number of processes where the configuration does not set it."""

    def find_config(self) -> RunConfig | None:
        """Return the configuration of the run that the means are taken from, if there is one."""
        return recall_config(RunFolder(self.measured)) if self.measured and self.measured.is_dir() else None


def answer(question: PlanQuestion, config: RunConfig) -> CostPlan:
    """Plan a configuration. Raises RampforgeError."""
    means = find_means(question)
    roles = list_chat_roles(config)
    workload = plan_workload(config, means, _measure_sources(question, config))
    return estimate(config, roles, workload, means, _find_machines(question, config))


def look_back(question: PlanQuestion, root: Path) -> tuple[CostPlan, tuple[PlanComparison, ...]]:
    """Plan a run's configuration and tasks, and compare the plan with its actual cost."""
    run = RunFolder(root)
    config = recall_config(run)
    tasks = find_step(collect_funnel(run), StageName.TRAJECTORIES, "task")
    if tasks is None:
        raise ConfigError(f"{root}: the stage trajectories is not finished", f"rampforge resume {root}")
    plan = answer(question, config.with_section("masking", limit=tasks.entered))
    spent = run.record().spending
    return plan, compare_spending(plan, spent.roles if spent else (), spent.busy_seconds if spent else 0.0)


def answer_scale(
    question: PlanQuestion, config: RunConfig, scale: str, attempts: int, fleet: MachineFleet
) -> ScalePlan:
    """Plan `attempts` attempts over a whole wiki, at the rates of a measured run.

    Raises RampforgeError.
    """
    if question.measured is None or not question.measured.is_dir():
        raise ConfigError(
            "--scale needs the measured rates of a run", "rampforge plan --scale enwiki --from outputs/demo"
        )
    run = RunFolder(question.measured)
    record = run.record().model_copy(update={"funnel": collect_funnel(run)})
    scaled = list_scaled_stages()
    plan = scale_up(run, record, _read_size(scale), attempts, fleet, scaled)
    asking = [name for name in scaled if STAGES[name].enabled(config) and STAGES[name].roles(config)]
    if not asking:
        return plan
    return add_models(plan, answer(question, config.with_section("masking", limit=plan.tasks)), asking)


def _read_size(scale: str) -> WikiSize:
    """Return the size of a built-in wiki, or of one described by a YAML file."""
    try:
        known = yaml.safe_load(SIZES.read_text("utf-8"))
        if scale in known:
            return WikiSize(name=scale, **known[scale])
        return WikiSize.model_validate({"name": Path(scale).stem} | yaml.safe_load(Path(scale).read_text("utf-8")))
    except (OSError, UnicodeDecodeError, TypeError, yaml.YAMLError, ValidationError) as error:
        problem = " ".join(str(error).split())[:300]
        raise ConfigError(
            f"--scale {scale}: neither a known wiki nor a file with the size of one: {problem}",
            f"use {', '.join(known)}, or a YAML file with articles, words, dump_bytes and source",
        ) from None


def find_means(question: PlanQuestion) -> Means:
    """Return means measured in a run, or read from a file. Raises RampforgeError."""
    if question.measured is None:
        return _read_means(SHIPPED)
    if not question.measured.is_dir():
        return _read_means(question.measured)
    run = RunFolder(question.measured)
    record: RunRecord = run.record()
    if not locate_usage_log(run).exists():
        raise ConfigError(
            f"{run.root}: no language model was called in this run, so nothing is measured",
            "rampforge run --limit 50 with agents.policy=agents, then plan --from that run",
        )
    shards = run.files(Trajectory.dataset)
    record = record.model_copy(update={"funnel": collect_funnel(run)})
    return measure_run(str(run.root), record, UsageLog(locate_usage_log(run)).read(), shards)


def _read_means(path: Path | Traversable) -> Means:
    try:
        return Means.model_validate(yaml.safe_load(path.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
        problem = " ".join(str(error).split())[:300]
        raise ConfigError(
            f"{path}: neither a run nor a file of means: {problem}",
            "`--from` needs a run's folder, or a file written by --save-means",
        ) from None


def write_means(question: PlanQuestion, path: Path) -> None:
    """Save the means of a plan."""
    values = find_means(question).model_dump(mode="json", exclude_none=True)
    write_atomically(path, yaml.safe_dump(values, sort_keys=False, allow_unicode=True).encode())


def _measure_sources(question: PlanQuestion, config: RunConfig) -> int | None:
    """Return the size of the sources, where nothing else gives the number of tasks; None for sources that are not
    files.
    """
    if config.masking.limit is not None or not config.corpus.sources:
        return None
    paths = [Path(source) for source in find_sources(RunContext(RunFolder(Path()), config, question.cache))]
    return sum(path.stat().st_size for path in paths) if all(path.is_file() for path in paths) else None


def _find_machines(question: PlanQuestion, config: RunConfig) -> Machines:
    serving, llm = config.serving, config.llm
    managed = serving.mode is ServingMode.MANAGED
    managed_gpus = serving.tensor_parallel * serving.data_parallel if managed else 0
    slots = sum(endpoint.max_in_flight for endpoint in llm.endpoints.values()) + serving.max_in_flight * managed
    processes = config.execution.workers or question.cores
    return Machines(
        in_flight=processes * min(llm.in_flight, slots or llm.in_flight),
        gpus=question.gpus or managed_gpus or (1 if question.tokens_per_second else 0),
        tokens_per_second=question.tokens_per_second,
    )
