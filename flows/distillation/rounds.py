"""One round of self-distillation, step by step; finished steps are skipped.

(join -> train -> serve -> validate ->) tasks -> trajectories -> judgements (-> difficulties) -> measure
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flows.distillation.configs import ATTEMPTED, TAUGHT_STAGES, UNTRAINED, configure_round, locate_base, name_teacher
from flows.distillation.session import OWN, DistillationSession
from flows.distillation.training import name_start, train_teacher
from flows.distillation.validation import holds_out, share_stages, validate
from flows.stages.registry import find_spec
from flows.stages.round_tasks import write_plan
from pipeline.distillation.diversity import measure_diversity
from pipeline.distillation.joining import digest_runs
from pipeline.distillation.measuring import count_round
from pipeline.distillation.steps import measure_overhead
from pipeline.distillation.stopping import find_best, find_stop, measure_regression
from pipeline.storage.run_folder import RunFolder
from schemas.config import StageName
from schemas.distill_config import OnRegression
from schemas.record import content_id
from schemas.rounds import RoundRecord, TeacherTraining, ValidationFigures
from schemas.tasks import MaskTask


@dataclass(slots=True)
class _Taught:
    """Result of the training and validation that precede a round's attempts."""

    training: TeacherTraining | None = None
    validation: ValidationFigures | None = None
    regression: float | None = None
    attempting: int = 0
    """Round whose teacher attempts the tasks; 0 for the agents."""


def run_round(session: DistillationSession, number: int, records: Sequence[RoundRecord]) -> RoundRecord:
    """Run a round and write its record. Raises DistillError."""
    run = session.folder.round(number)
    some = plan_tasks(session, number, run)
    taught = _teach(session, number, records) if number and some else _Taught()
    halted = taught.regression is not None and session.config.distill.on_regression is OnRegression.STOP
    if some and not halted:
        attempt_tasks(session, number, run, taught.attempting)
    if not number and some and session.config.distill.validation.baseline:
        base = locate_base(session.config, session.cache)
        taught.validation = validate(session, number, base, UNTRAINED, session.folder.validated(number))
    return _conclude(session, number, records, taught)


def plan_tasks(session: DistillationSession, number: int, run: RunFolder) -> bool:
    """Link what all rounds share and write the task plan; return whether there are any tasks."""
    if (made := run.find_manifest(StageName.TASKS)) is not None:
        return made.rows(MaskTask.dataset) > 0
    config = session.config.distill
    with session.step(number, OWN):
        share_stages(session.folder.base, run)
        earlier = [session.folder.round(before) for before in range(number)]
        share = config.validation.share if holds_out(session.config) else 0.0
        plan = write_plan(run, number, config.tasks_of(number), config.masks_of(number), share, earlier)
    return sum(plan.shares.values()) > 0


def _teach(session: DistillationSession, number: int, records: Sequence[RoundRecord]) -> _Taught:
    """Train the round's teacher, validate it, and choose the solver of the tasks."""
    config = session.config.distill
    taught = _Taught(train_teacher(session, number, records), attempting=number)
    model, run = session.folder.teacher(number).model, session.folder.validated(number)
    taught.validation = validate(session, number, model, name_teacher(number), run)
    if taught.validation is None:
        return taught
    taught.regression = measure_regression(records, taught.validation.recall, config)
    best = find_best(records)
    if taught.regression is not None:
        session.tell(f"round {number}: its teacher lost {taught.regression:.3f} of validation recall")
        if config.on_regression is OnRegression.FALL_BACK and best is not None:
            taught.attempting = best.number
            session.tell(f"round {number}: the teacher of round {best.number} attempts its tasks")
    return taught


def attempt_tasks(session: DistillationSession, number: int, run: RunFolder, teacher: int) -> None:
    """Make the tasks, attempt them by the teacher of a round or by the agents, and judge the attempts."""
    config = configure_round(session.config, number, teacher)
    stages = TAUGHT_STAGES if teacher else ATTEMPTED
    if all(run.find_manifest(stage) for stage in stages):
        return
    if teacher:
        config = session.serve(number, session.folder.teacher(teacher).model, config)
    session.run_stages(number, run, config, [*stages, StageName.REPORT])


def _conclude(
    session: DistillationSession, number: int, records: Sequence[RoundRecord], taught: _Taught
) -> RoundRecord:
    """Measure the round and write its record, which finishes it."""
    folder, config, run = session.folder, session.config, session.folder.round(number)
    with session.step(number, "measure"):
        counts, diversity = count_round(run), measure_diversity(run)
        before = measure_diversity(folder.round(number - 1)).words if number else None
    inputs = digest_runs([folder.round(earlier) for earlier in range(number)])
    played = configure_round(config, number, taught.attempting)
    asking = [name for name in TAUGHT_STAGES if name is StageName.TRAJECTORIES or find_spec(name).roles(played)]
    spent, seconds, made = run.find_record(), session.step_log.sum_round(number), run.find_manifest(StageName.TASKS)
    record = RoundRecord(
        round_id=content_id(number, inputs, digest_runs([run])),
        number=number,
        policy=name_teacher(taught.attempting) if number else config.agents.policy,
        inputs=inputs,
        base=name_start(session, records) if taught.training else None,
        checkpoint=folder.locate(folder.teacher(number).model) if taught.training else None,
        training=taught.training,
        mask_counts=config.distill.masks_of(number),
        wanted=config.distill.tasks_of(number),
        tasks=made.rows(MaskTask.dataset) if made else 0,
        **counts,
        diversity=diversity.describe(before),
        validation=taught.validation,
        regression=taught.regression,
        seconds=seconds,
        overhead=measure_overhead(seconds, asking),
        tokens=spent.tokens if spent else 0,
        cost=spent.cost if spent else 0.0,
        stop=None,
    )
    record = record.model_copy(update={"stop": find_stop([*records, record], config.distill)})
    folder.write_record(record)
    return record
