"""Validation of a teacher: on tasks from held-out pages, or on a file of questions."""

from __future__ import annotations

from pathlib import Path

from flows.distillation.configs import ATTEMPTED, SHARED, configure_validation
from flows.distillation.session import BEFORE, OWN, DistillationSession
from flows.stages.round_tasks import locate_plan, write_plan
from pipeline.distillation.adoption import adopt_stages, link_tree
from pipeline.distillation.measuring import measure_validation
from pipeline.storage.run_folder import RunFolder
from schemas.config import RunConfig, StageName
from schemas.evaluations import EvalMethod, EvalSettings, MetricName
from schemas.rounds import RoundPlan, ValidationFigures

STEP = "validate"


def validate(
    session: DistillationSession, number: int, model: Path, name: str, run: RunFolder
) -> ValidationFigures | None:
    """Validate a model in a run of its own; None without held-out data.

    `number`: the round that its time counts for; `name`: name of the model in trajectories.
    """
    config = configure_validation(session.config, name)
    if (questions := session.config.distill.validation.questions) is not None:
        return _ask_questions(session, number, model, config, Path(questions), run.root)
    if not holds_out(session.config):
        return None
    if not all(run.find_manifest(stage) for stage in ATTEMPTED):
        with session.step(number, OWN):
            plan = hold_out(session, run)
        if not sum(plan.shares.values()):
            return None
        session.run_stages(number, run, session.serve(number, model, config), ATTEMPTED, step=STEP)
    return measure_validation(run)


def _ask_questions(
    session: DistillationSession, number: int, model: Path, config: RunConfig, questions: Path, out: Path
) -> ValidationFigures:
    """Return the model's answers to a benchmark; a finished folder is only read."""
    from flows.evaluation.run import evaluate, read_result

    if (out / "results.json").exists():
        result = read_result(out)
    else:
        served = session.serve(number, model, config)
        settings = EvalSettings(method=EvalMethod.POLICY, sample=session.config.distill.validation.sample)
        with session.step(number, STEP):
            result = evaluate(questions, out, settings, served, session.cache, index=session.folder.base.root)
    names = (MetricName.RECALL, MetricName.EXACT, MetricName.F1)
    means = {str(name): result.metrics[name].mean for name in names}
    return ValidationFigures(questions=result.answers, finished=result.finished, **means)


def holds_out(config: RunConfig) -> bool:
    """Return whether tasks are held out for validation."""
    return config.distill.validation.tasks > 0 and config.distill.validation.questions is None


def hold_out(session: DistillationSession, run: RunFolder) -> RoundPlan:
    """Link what all rounds share, and write the plan of the validation tasks, which is made once."""
    held_out, first = session.config.distill.validation, session.folder.round(0)
    share_stages(session.folder.base, run)
    if not locate_plan(session.folder.validation).exists():
        share_stages(session.folder.base, session.folder.validation)
        # A run adopted as round 0 may have used some of these spans.
        earlier = [first] if first.find_manifest(StageName.TASKS) else []
        write_plan(session.folder.validation, BEFORE, held_out.tasks, held_out.mask_counts, held_out.share, earlier)
    return adopt_plan(session.folder.validation, run)


def adopt_plan(source: RunFolder, target: RunFolder) -> RoundPlan:
    """Copy a plan."""
    link_tree(locate_plan(source).parent, locate_plan(target).parent)
    return RoundPlan.model_validate_json(locate_plan(target).read_bytes())


def share_stages(base: RunFolder, run: RunFolder) -> None:
    """Link what all rounds share into a run."""
    adopt_stages(base, run, [stage for stage in SHARED if base.find_manifest(stage)])
