"""Run folders to look at: small, judged, with poison in every text field where that is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.report.report_data import Example
from pipeline.storage.boundary import write_whole
from schemas.arrow import arrow_schema
from schemas.funnel import Reject
from schemas.trajectories import SearchStatus
from tests.report_samples import GOLDS, TEXT, make_examples, make_record, write_shards

POISON = (
    "<script>window.broken=1</script><img src=x onerror=window.broken=2>\"'><svg/onload=window.broken=3>"
    " \x1b]0;owned\x07\x1b[31m \x9b2J \u202egnp.exe\u202c {{7*7}} javascript:window.broken=4 | `x` --"
)


def make_run(folder: Path, examples: Sequence[Example] | None = None) -> Path:
    """A run of twenty-four attempts, its rejects and its run.json."""
    write_shards(folder, examples if examples is not None else make_examples(24))
    rejects = [
        Reject(stage="spans", unit="span", input_id=f"s{n}", reason="in_title" if n % 3 else "repeated", detail="why")
        for n in range(9)
    ]
    write_dataset(folder / "rejects" / "part-spans-0000.parquet", rejects)
    write_whole(folder / "run.json", make_record().model_dump_json().encode())
    return folder


def make_poisoned_run(folder: Path) -> Path:
    """The same with hostile text in every field that holds text of others; ids stay ids."""
    examples = [poison_example(example) for example in make_examples(6, TEXT, GOLDS)]
    make_run(folder, examples)
    record = make_record().model_copy(update={"run": POISON, "sources": {POISON: POISON}, "models": {POISON: POISON}})
    write_whole(folder / "run.json", record.model_dump_json().encode())
    hostile = Reject(stage=POISON, unit=POISON, input_id=POISON, reason=POISON, detail=POISON)
    write_dataset(folder / "rejects" / "part-spans-0000.parquet", [hostile])
    return folder


def poison_example(example: Example) -> Example:
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
    return Example(task, trajectory, judgement.model_copy(update=verdict))


def write_dataset(path: Path, rows: Sequence[Any]) -> None:
    """One shard."""
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = [row.model_dump(mode="json") for row in rows]
    pq.write_table(pa.Table.from_pylist(plain, schema=arrow_schema(type(rows[0]))), path)
