"""Self-distillation: rounds until a stopping rule applies, then the student.

All finished work is in the folder, so that the command that started a distillation also resumes it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from flows.distillation.configs import ATTEMPTED, SHARED, STUDENT, locate_base
from flows.distillation.plan import find_lacks
from flows.distillation.rounds import run_round
from flows.distillation.session import BEFORE, DistillationSession, write_resume_command
from flows.distillation.training import train_student
from flows.distillation.validation import adopt_plan, validate
from flows.prefect_api.ephemeral_server import local_api
from flows.stages.registry import find_spec
from flows.stages.round_tasks import locate_plan
from pipeline.distillation.adoption import adopt_stages
from pipeline.distillation.folders import DistillFolder
from pipeline.distillation.stopping import find_stop
from pipeline.errors import ConfigError, StorageError
from pipeline.storage.files import write_atomically
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.stage_ledger import pick_settings
from schemas.config import RunConfig, StageName
from schemas.rounds import RoundRecord, ValidationFigures

FREE = ("execution", "serving", "search_service", "report", "llm", "distill.stop", "distill.rounds", "distill.student")
"""Sections that may differ when a distillation is resumed: they affect no row of a finished round, and each run rejects
changes that would affect its rows."""


def start_distillation(
    root: Path, config: RunConfig, cache: Path, adopted: Path | None, console: Console, other_version: bool = False
) -> None:
    """Run rounds until a stopping rule applies, then train the student. Raises RampforgeError.

    `adopted`: a judged run to use as round 0; `other_version`: resume what other versions have started.
    """
    folder = DistillFolder(root)
    refuse_lacks(config, cache)
    settle_config(folder, config)
    with local_api(), DistillationSession(folder, config, cache, console, other_version) as session:
        try:
            records = run_rounds(session, adopted)
            student = train_student(session, records)
            learned = validate_student(session, records[-1].number, student) if student else None
        except KeyboardInterrupt:
            session.tell(f"stopped; finished work is kept: resume with `{write_resume_command()}`")
            raise
        draw_rounds(session, records, learned)
        if student:
            recall = f", validation recall {learned.recall:.3f}" if learned else ""
            session.tell(f"the student: {student}{recall}")
    console.print(f"the report: {folder.report}", highlight=False, markup=False, soft_wrap=True)


def run_rounds(session: DistillationSession, adopted: Path | None) -> list[RoundRecord]:
    """Run all requested rounds; return the records of all finished ones."""
    prepare_base(session, adopted)
    records = session.folder.records()
    while not records or find_stop(records, session.config.distill) is None:
        record = run_round(session, len(records), records)
        records.append(record)
        draw_rounds(session, records)
        session.tell(describe_round(record))
    session.tell(f"no further round: {find_stop(records, session.config.distill)}")
    return records


def refuse_lacks(config: RunConfig, cache: Path) -> None:
    """Check that teachers can be trained and served, before anything is done. Raises RampforgeError."""
    from flows.models.policy import load_tokenizer

    for lack in find_lacks(config):
        raise lack
    if config.distill.rounds or config.distill.student.enabled:
        load_tokenizer(str(locate_base(config, cache)))


def settle_config(folder: DistillFolder, config: RunConfig) -> None:
    """Record the configuration that the distillation is started with. Raises ConfigError if it was started with
    another.
    """
    values = config.model_dump(mode="json")
    if folder.begun.exists():
        began = RunConfig.model_validate(json.loads(folder.begun.read_bytes()))
        old, new = (_list_settings(one) for one in (began, config))
        differing = [f"{key} was {old.get(key)}, now {new.get(key)}" for key in new if old.get(key) != new[key]]
        if differing:
            raise ConfigError(
                f"{folder.root} was started with other settings: {'; '.join(differing)}",
                "use the same settings, or none; for other settings use another NAME",
            )
    write_atomically(folder.begun, json.dumps(values, indent=1).encode())


def find_config(root: Path) -> RunConfig | None:
    """Return the last configuration of the distillation in a folder, if there is one."""
    path = DistillFolder(root).begun
    return RunConfig.model_validate(json.loads(path.read_bytes())) if path.exists() else None


def _list_settings(config: RunConfig) -> dict[str, str]:
    settings = pick_settings(config, RunConfig.model_fields)
    return {key: value for key, value in settings.items() if not f"{key}.".startswith(tuple(f"{f}." for f in FREE))}


def prepare_base(session: DistillationSession, adopted: Path | None) -> None:
    """Make what all rounds share, or copy it from a run, together with its attempts."""
    base = session.folder.base
    if adopted is None:
        shared = [stage for stage in SHARED if find_spec(stage).enabled(session.config)]
        session.run_stages(BEFORE, base, session.config, shared)
        return
    source, first = RunFolder(adopted), session.folder.round(0)
    if source.find_manifest(StageName.JUDGEMENTS) is None:
        raise StorageError(f"{adopted} is not judged, so it cannot be round 0", f"rampforge resume {adopted}")
    for run, stages in ((base, SHARED), (first, (*SHARED, *ATTEMPTED))):
        adopt_stages(source, run, [stage for stage in stages if source.find_manifest(stage)])
        if run.find_record() is None:
            record = source.record().model_copy(update={"run": run.name, "timings": ()})
            run.write_record(run.root / "run.json", record)
    if locate_plan(source).exists():
        adopt_plan(source, first)


def validate_student(session: DistillationSession, last: int, student: Path) -> ValidationFigures | None:
    """Validate the student."""
    run = RunFolder(session.folder.student(last) / f"validation-{student.parent.name}")
    return validate(session, last, student, STUDENT, run)


def draw_rounds(
    session: DistillationSession, records: Sequence[RoundRecord], student: ValidationFigures | None = None
) -> None:
    """Write the report over all rounds."""
    from pipeline.distillation.rounds_page import build_page

    folder = session.folder
    page = build_page(folder.root.resolve().name, records, student, session.config.model_dump(mode="json"))
    write_atomically(folder.report, page.encode())


def describe_round(record: RoundRecord) -> str:
    """Describe a round in one line."""
    parts = [f"{record.policy}", f"{record.tasks} tasks", f"{record.accepted} of {record.attempts} attempts accepted"]
    if record.validation:
        parts.append(f"validation recall {record.validation.recall:.3f}")
    taught = record.training
    if taught and taught.first_loss is not None and taught.last_loss is not None:
        parts.append(f"loss {taught.first_loss:.3f} -> {taught.last_loss:.3f}")
    minutes = sum(step.seconds for step in record.seconds) / 60
    return f"round {record.number}: {', '.join(parts)}; {minutes:.1f} min, loop {record.overhead:.1%}"
