"""Tasks to label, as a run with their passages, and files of codes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pipeline.inspecting.readonly_database import ReadonlyDatabase
from pipeline.inspecting.shard_listing import list_shards
from pipeline.labelling.queue import QueuedMask, Select
from schemas.passages import Passage
from schemas.tasks import MaskTask
from tests.support.inspect_samples import write_dataset
from tests.support.trajectory_samples import make_task

TEXT = "School {} was founded in 1868 by Ada Byron, who taught at Port Ansel for four weeks."
GOLDS = ("1868", "Ada Byron", "Port Ansel", "four weeks")
ALIASES = {"Ada Byron": ("Countess Byron", "Ada B."), "four weeks": ("4 weeks",)}
CODES = {"needs": "search", "fillings": "one", "unit": "good", "aliases": "ok"}


def make_tasks(count: int) -> list[MaskTask]:
    """Tasks of one to four masks."""
    return [
        make_task(TEXT.format(number), GOLDS[: 1 + number % 4], f"task{number:03}", aliases=ALIASES)
        for number in range(count)
    ]


def make_passage(task: MaskTask) -> Passage:
    """The passage that a task was made of."""
    text = task.fill([span.text for span in task.spans])
    return Passage(
        passage_id=task.passage_id, document_id=task.document_id, page_id=task.page_id, lang=task.lang,
        title=task.title, section=task.section, text=text, start=0, end=len(text), tokens=9, links=(),
    )  # fmt: skip


def write_tasks(run: Path, tasks: Sequence[MaskTask]) -> Path:
    """A run of tasks and their passages."""
    write_dataset(run / "tasks" / "part-0000.parquet", tasks)
    write_dataset(run / "passages" / "part-0000.parquet", [make_passage(task) for task in tasks])
    return run


def open_sample(run: Path, tasks: Sequence[MaskTask]) -> Select:
    """A run of tasks, opened."""
    return ReadonlyDatabase(list_shards(write_tasks(run, tasks))).select_rows


def write_codes(path: Path, queue: Sequence[QueuedMask]) -> Path:
    """Codes of a rater who finds nothing wrong."""
    rows = [
        {"mask": one.name, **CODES}
        | ({"alias_codes": dict.fromkeys(one.span.aliases, "ok")} if one.span.aliases else {})
        for one in queue
    ]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path
