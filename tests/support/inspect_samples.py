"""Run folders to look at: small, judged, with poison in every text field where that is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.report.report_data import ReportExample
from pipeline.storage.files import write_atomically
from pipeline.storage.ledger_files import encode_record
from schemas.arrow import arrow_schema
from schemas.funnel import Reject
from schemas.record import Record
from schemas.rounds import (  # fmt: skip
    DiversityFigures,
    MaskAcceptance,
    NamedCount,
    RoundRecord,
    StepSeconds,
    ValidationFigures,
)
from schemas.trajectories import SearchStatus
from tests.support.report_samples import GOLDS, TEXT, make_examples, make_record, write_shards

POISON = (
    "<script>window.broken=1</script><img src=x onerror=window.broken=2>\"'><svg/onload=window.broken=3>"
    " \x1b]0;owned\x07\x1b[31m \x9b2J \u202egnp.exe\u202c {{7*7}} javascript:window.broken=4 | `x` --"
)


def make_run(folder: Path, examples: Sequence[ReportExample] | None = None) -> Path:
    """A run of twenty-four attempts, its rejects and its run.json."""
    write_shards(folder, examples if examples is not None else make_examples(24))
    rejects = [
        Reject(stage="spans", unit="span", input_id=f"s{n}", reason="in_title" if n % 3 else "repeated", detail="why")
        for n in range(9)
    ]
    write_dataset(folder / "rejects" / "part-spans-0000.parquet", rejects)
    write_atomically(folder / "run.json", encode_record(make_record()))
    return folder


def make_poisoned_run(folder: Path) -> Path:
    """The same with hostile text in every field that holds text of others; ids stay ids."""
    examples = [poison_example(example) for example in make_examples(6, TEXT, GOLDS)]
    make_run(folder, examples)
    record = make_record().model_copy(update={"run": POISON, "sources": {POISON: POISON}, "models": {POISON: POISON}})
    write_atomically(folder / "run.json", encode_record(record))
    hostile = Reject(stage=POISON, unit=POISON, input_id=POISON, reason=POISON, detail=POISON)
    write_dataset(folder / "rejects" / "part-spans-0000.parquet", [hostile])
    return folder


def make_distillation(folder: Path) -> Path:
    """Three rounds, each a run, and their union; an export beside them."""
    records = []
    for number in range(3):
        policy = f"teacher-r{number}" if number else "extractive"
        examples = [change_policy(example, policy) for example in make_examples(24)]
        run = make_run(folder / f"round-{number:02d}", examples)
        accepted = sum(example.judgement is not None and example.judgement.accepted for example in examples)
        records.append(make_round(number, policy, len(examples), accepted + number))
        once = ("tasks",) if number == 0 else ()  # no task stands there twice
        for dataset in ("trajectories", "judgements", *once):
            (folder / "union" / "round-02" / dataset).mkdir(parents=True, exist_ok=True)
            for path in (run / dataset).iterdir():
                name = f"part-r{number:02d}-{path.name.removeprefix('part-')}"
                (folder / "union" / "round-02" / dataset / name).write_bytes(path.read_bytes())
    write_atomically(folder / "union" / "round-02" / "run.json", encode_record(make_record()))
    for record in records:
        write_dataset(folder / "rounds" / f"part-{record.number:02d}.parquet", [record])
    return folder


def change_policy(example: ReportExample, policy: str) -> ReportExample:
    """The same attempt by another; its id says so."""
    key = f"{example.trajectory.trajectory_id}-{policy}"
    trajectory = example.trajectory.model_copy(update={"policy": policy, "trajectory_id": key})
    judgement = example.judgement and example.judgement.model_copy(update={"trajectory_id": key})
    return ReportExample(example.task, trajectory, judgement)


def make_round(number: int, policy: str, attempts: int, accepted: int) -> RoundRecord:
    """A round's record, with figures that rise."""
    share = 0.2 + number / 10
    return RoundRecord(
        round_id=f"round{number}", number=number, policy=policy, inputs=(), base=None, checkpoint=None, training=None,
        mask_counts=(1, 2), wanted=attempts, tasks=attempts, attempts=attempts, unfinished=0, correct=accepted,
        accepted=accepted, rejects=(NamedCount(name="too_short", count=attempts - accepted),),
        by_masks=(MaskAcceptance(masks=1, attempts=attempts, accepted=accepted),),
        diversity=DiversityFigures(
            distinct_1=share, distinct_2=share, distinct_3=share, query_distinct_2=share, queries_distinct=share,
            duplicates=0.0, drift=None, searches=(NamedCount(name="2", count=attempts),),
            turns=(NamedCount(name="1", count=attempts),), kinds=(NamedCount(name="date", count=accepted),),
        ),
        validation=ValidationFigures(questions=8, finished=8, recall=share, exact=share, f1=share), regression=None,
        seconds=(StepSeconds(step="trajectories", seconds=9.0),), overhead=0.01, tokens=1000, cost=0.25 * number,
        stop="all rounds are done" if number == 2 else None,
    )  # fmt: skip


def poison_example(example: ReportExample) -> ReportExample:
    """Poison in passage, spans, thoughts, queries, results, answers, reasons."""
    task, trajectory, judgement = example.task, example.trajectory, example.judgement
    assert judgement is not None
    spans = tuple(span.model_copy(update={"aliases": (POISON,), "label": POISON}) for span in task.spans)
    task = task.model_copy(
        update={"title": POISON, "section": (POISON,), "masked_text": f"{POISON} {task.masked_text}", "spans": spans}
    )
    turns = []
    for turn in trajectory.turns:
        calls = (*turn.calls, turn.calls[0].model_copy(update={"status": SearchStatus.ERROR, "detail": POISON}))
        shown = tuple(one.model_copy(update={"title": POISON, "text": POISON + one.text}) for one in turn.shown)
        calls = tuple(call.model_copy(update={"query": POISON}) for call in calls)
        turns.append(turn.model_copy(update={"think": POISON, "calls": calls, "shown": shown, "conclusion": POISON}))
    answers = tuple(answer.model_copy(update={"answer": POISON}) for answer in trajectory.answers)
    update: dict[str, Any] = {"turns": tuple(turns), "answers": answers, "final_think": POISON, "policy": POISON}
    usage = tuple(use.model_copy(update={"role": POISON, "model": POISON}) for use in trajectory.usage)
    trajectory = trajectory.model_copy(update=update | {"usage": usage, "sampling": POISON, "engine": POISON})
    verdict = {"reason": POISON, "judge": POISON, "accepted": False, "reject_reason": POISON}
    return ReportExample(task, trajectory, judgement.model_copy(update=verdict))


def write_dataset(path: Path, rows: Sequence[Record]) -> None:
    """One shard."""
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = [row.model_dump(mode="json") for row in rows]
    pq.write_table(pa.Table.from_pylist(plain, schema=arrow_schema(type(rows[0]))), path)
