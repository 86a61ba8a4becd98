"""Plan of a distillation: its rounds, their progress, and the problems found before starting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from flows.checks.findings import State
from flows.configuration.environments import open_environment
from flows.distillation.configs import ATTEMPTED, configure_round, configure_teacher, name_teacher
from flows.distillation.training import is_trained
from flows.models.roles import check_roles
from flows.stages.registry import find_spec, list_roles
from pipeline.components import identify_component
from pipeline.distillation.folders import DistillFolder
from pipeline.errors import RampforgeError
from pipeline.evaluation.benchmarks import read_benchmark
from schemas.config import RunConfig
from schemas.rewards import RewardName
from schemas.serving_config import ServingMode


def draw_plan(root: Path, config: RunConfig, adopted: Path | None, console: Console) -> None:
    """Print the rounds and what is missing, without writing or starting anything."""
    folder = DistillFolder(root)
    table = Table(title=f"{root}: {config.distill.rounds} rounds after the cold start")
    for column in ("round", "attempted by", "trained on", "tasks", "masks", "attempts each", "state"):
        table.add_column(column)
    for number in range(config.distill.rounds + 1):
        table.add_row(*_describe(folder, config, number, adopted))
    console.print(table)
    console.print(describe_end(config), highlight=False, soft_wrap=True)
    for state, line in find_obstacles(config, adopted):
        console.print(f"{state}: {line}", highlight=False, markup=False, soft_wrap=True)


def _describe(folder: DistillFolder, config: RunConfig, number: int, adopted: Path | None) -> list[str]:
    attempts = (config.distill.attempts if number else config.agents.attempts) * len(config.search.hide)
    solver = name_teacher(number) if number else str(adopted or config.agents.policy)
    learned = f"rounds 0 to {number - 1}" if number > 1 else "round 0" if number else "–"
    masks = ", ".join(map(str, config.distill.masks_of(number)))
    tasks = f"{config.distill.tasks_of(number):,}"
    return [str(number), solver, learned, tasks, masks, str(attempts), describe_state(folder, number)]


def describe_state(folder: DistillFolder, number: int) -> str:
    """Return the progress of a round."""
    if len(folder.records()) > number:
        return "done"
    run = folder.round(number)
    done: list[str] = [stage for stage in ATTEMPTED if run.find_manifest(stage)]
    if number and is_trained(folder.teacher(number)):
        done.insert(1 if done else 0, "training")
    return f"begun: {', '.join(done)} done" if done else "owed"


def describe_end(config: RunConfig) -> str:
    """Describe the stopping rules, and what follows."""
    stop, student, held_out = config.distill.stop, config.distill.student, config.distill.validation
    rules = [
        f"validation recall reaches {stop.recall:g}" if stop.recall else "",
        f"accept rate falls below {stop.accept_rate:.0%}" if stop.accept_rate else "",
        f"distinct word pairs fall below {stop.diversity:g}" if stop.diversity else "",
        f"{stop.patience} rounds bring no gain on validation" if held_out.tasks or held_out.questions else "",
        f"{stop.tokens:,} tokens are spent" if stop.tokens else "",
        f"{stop.money:g} of money is spent" if stop.money else "",
        f"{stop.hours:g} hours are spent" if stop.hours else "",
    ]
    rl = f", then {student.rl.steps} steps of reinforcement learning" if student.rl.steps else ""
    then = f"Then a student is fine-tuned on all rounds{rl}." if student.enabled else "No student is trained."
    early = "; ".join(rule for rule in rules if rule)
    return f"It ends early when {early}. {then}" if early else then


def find_obstacles(config: RunConfig, adopted: Path | None) -> Iterator[tuple[State, str]]:
    """Return the problems found before starting."""
    rounds, limit = config.distill.rounds, config.masking.limit
    requested = sum(config.distill.tasks_of(number) for number in range(rounds + 1)) + config.distill.validation.tasks
    if limit is not None and adopted is None and requested > limit:
        line = f"{requested:,} tasks are requested, but masking.limit={limit:,} finds spans for that many only"
        yield State.WARN, f"{line}; a passage then gives several, as far as its spans reach"
    for error in find_lacks(config):
        yield State.FAIL, f"{error.what}: {error.fix}"


def find_lacks(config: RunConfig) -> Iterator[RampforgeError]:
    """Return what the machine or the configuration lacks for training, serving and validating teachers."""
    rounds, held_out, student = config.distill.rounds, config.distill.validation, config.distill.student.enabled
    served = rounds or ((held_out.tasks or held_out.questions) and (held_out.baseline or student))
    names = ["trl"] if rounds or student else []
    if served and config.serving.mode is ServingMode.MANAGED:
        names.append(config.serving.environment)
    looks: list[Callable[[], object]] = [partial(open_environment, name) for name in names]
    if served:
        taught = configure_round(configure_teacher(config), 1, 1)
        roles = list_roles(taught, map(find_spec, ATTEMPTED))
        looks.append(partial(check_roles, taught, roles))
    if held_out.questions is not None:
        looks.append(partial(read_benchmark, Path(held_out.questions)))
    reward = config.distill.student.rl.reward
    if student and not isinstance(reward, RewardName):
        looks.append(partial(identify_component, "distill.student.rl.reward", reward))
    for look in looks:
        try:
            look()
        except RampforgeError as error:
            yield error
