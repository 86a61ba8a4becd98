"""Fresh tasks of a round: unused spans, the pages of a split, and the number of tasks per shard.

Guarantees: a span that was hidden once is never hidden again, so no two rounds share a task or a span of a passage; the
tasks of a page belong to the rounds or to validation, never to both; everything follows from the content, so neither
the order of the shards nor an interruption changes the tasks; a task that overlaps a benchmark question is rejected.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.decontamination.overlap import STAGE, QuestionIndex, drop_overlapping
from pipeline.exporting.simulator_tuning import choose_split
from pipeline.masking.task_stage import SpannedPassage
from pipeline.stage import Outcome, Stage
from pipeline.storage.files import replace_atomically, temporary_name, wrap_os_errors
from pipeline.storage.hashing import hash_file
from pipeline.storage.run_folder import RunFolder
from schemas.config import StageName
from schemas.exports import Split
from schemas.funnel import FunnelStep, Reject
from schemas.record import Record
from schemas.rounds import RoundPlan
from schemas.tasks import MaskTask

SET_APART, USED_UP = "set_apart", "used_up"
SCHEMA = pa.schema([("passage_id", pa.string()), ("start", pa.int64()), ("end", pa.int64())])

Used = Mapping[str, frozenset[tuple[int, int]]]
"""Offsets of the hidden spans, by passage."""


@dataclass(frozen=True)
class FreshTasks:
    """Stage that makes tasks of unused spans."""

    whole_shard = True

    stage: Stage[SpannedPassage]
    plan: RoundPlan
    used: Used
    """Spans hidden by earlier rounds in the passages of the shard."""
    questions: QuestionIndex | None = None
    """Benchmarks to avoid."""

    def run(self, inputs: Iterable[SpannedPassage]) -> Iterator[Outcome]:
        """One outcome per passage; one that is not for this round is rejected as `set_apart` or `used_up`."""
        fresh = []
        for item in inputs:
            left = self._drop_used(item)
            if choose_split(item.passage.document_id, self.plan.share) is not self.plan.split:
                yield _reject(item, SET_APART, f"its page is not for {self.plan.split}")
            elif item.span_set.spans and not left.span_set.spans:
                yield _reject(item, USED_UP, f"all {len(item.span_set.spans)} spans were hidden in earlier rounds")
            else:
                fresh.append(left)
        outcomes = self.stage.run(fresh)
        yield from outcomes if self.questions is None else drop_overlaps(outcomes, self.questions)

    def _drop_used(self, item: SpannedPassage) -> SpannedPassage:
        used = self.used.get(item.key, frozenset())
        spans = tuple(span for span in item.span_set.spans if (span.start, span.end) not in used)
        return SpannedPassage(item.passage, item.span_set.model_copy(update={"spans": spans}))


def drop_overlaps(outcomes: Iterable[Outcome], questions: QuestionIndex) -> Iterator[Outcome]:
    """Replace each task that overlaps a benchmark question by a reject."""
    for outcome in outcomes:
        tasks = [row for row in outcome.rows if isinstance(row, MaskTask)]
        if not tasks:
            yield outcome
            continue
        others: list[Record] = [row for row in outcome.rows if not isinstance(row, MaskTask)]
        checked = list(drop_overlapping(tasks, questions))
        reasons = Counter(row.reason for row in checked if isinstance(row, Reject))
        passed = len(tasks) - reasons.total()
        step = FunnelStep(stage=STAGE, unit="task", entered=len(tasks), passed=passed, rejected=dict(reasons))
        yield Outcome(outcome.key, (*others, *checked), (*outcome.funnel, step))


def _reject(item: SpannedPassage, reason: str, detail: str) -> Outcome:
    row = Reject(stage=StageName.TASKS, unit="passage", input_id=item.key, reason=reason, detail=detail)
    step = FunnelStep(stage=StageName.TASKS, unit="passage", entered=1, passed=0, rejected={reason: 1})
    return Outcome(item.key, (row,), (step,))


def write_used(runs: Iterable[RunFolder], target: Path) -> str:
    """Write every span hidden by some runs to a file, in DuckDB's bounded memory; returns its digest."""
    files = [str(path) for run in runs for path in run.files(MaskTask.dataset)]
    temporary = temporary_name(target)
    with wrap_os_errors(target), duckdb.connect() as database:
        target.parent.mkdir(parents=True, exist_ok=True)
        with pq.ParquetWriter(temporary, SCHEMA, compression="zstd") as writer:
            query = """
                SELECT DISTINCT passage_id, start, "end"
                FROM (SELECT passage_id, unnest(spans, recursive := true) FROM read_parquet(?)) ORDER BY ALL
            """
            rows: Any = database.sql(query, params=[files]).to_arrow_reader() if files else ()
            for batch in rows:
                writer.write_batch(batch.cast(SCHEMA))
        replace_atomically(temporary, target)
    return hash_file(target)


def read_used(path: Path, passages: Path) -> Used:
    """Hidden spans of one shard's passages, given by a Parquet file with their ids."""
    used: dict[str, set[tuple[int, int]]] = {}
    with wrap_os_errors(path), duckdb.connect() as database:
        rows = database.execute(
            """
            SELECT used.passage_id, used.start, used."end"
            FROM read_parquet(?) AS used SEMI JOIN read_parquet(?) AS shard USING (passage_id)
            """,
            [str(path), str(passages)],
        ).fetchall()
    for passage_id, start, end in rows:
        used.setdefault(passage_id, set()).add((start, end))
    return {passage_id: frozenset(spans) for passage_id, spans in used.items()}


def count_capacity(spans: Path, passages: Path, used: Path, split: Split, share: float, least: int) -> int:
    """Number of passages of a shard, on pages of a split, that have at least `least` unused spans."""
    query = """
        SELECT p.document_id, count(*) FROM (
            SELECT passage_id FROM (SELECT passage_id, unnest(spans, recursive := true) FROM read_parquet($spans))
            ANTI JOIN read_parquet($used) USING (passage_id, start, "end")
            GROUP BY passage_id HAVING count(*) >= $least
        ) JOIN read_parquet($passages) p USING (passage_id) GROUP BY p.document_id
    """
    values: dict[str, Any] = {"spans": str(spans), "passages": str(passages), "used": str(used), "least": least}
    with wrap_os_errors(spans), duckdb.connect() as database:
        rows = database.execute(query, values).fetchall()
    return sum(count for document_id, count in rows if choose_split(document_id, share) is split)
