"""Rows of reinforcement learning: prompts with their golds, and the passage to withhold from search.

One file serves both backends: TRL reads it as it is, verl's dataset is made from it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.difficulty.learnable import Learnable
from pipeline.errors import StorageError
from pipeline.exporting.columns import TEXT, write_json
from pipeline.exporting.selection import rank_difficulty
from pipeline.exporting.table_files import TableFile
from pipeline.rendering.chat_template import INLINE
from pipeline.rendering.chat_text import ChatText
from pipeline.rendering.formats import RENDERINGS
from pipeline.rendering.transcript import ask
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shards import read_rows
from pipeline.training.folders import TrainingFolder
from pipeline.training.requests import TrainingError
from pipeline.training.sft_rows import read_parquet
from schemas.config import StageName
from schemas.difficulties import Difficulty
from schemas.funnel import FunnelStep
from schemas.renderings import ChatMessage, ChatRole, RenderingName, Segment, SegmentKind
from schemas.tasks import MaskTask

STAGE = "train"
EVERY = Learnable()
PROMPT_TOO_LONG = "prompt_too_long"
EXPORTED = ("prompt", "golds", "question", "lang", "mask_count", "task_id", "passage_id", "page_id")
"""Columns that an export of prompts has."""
SCHEMA = pa.schema(
    [
        ("task_id", TEXT),
        ("prompt", TEXT),
        ("messages", TEXT),
        ("question", TEXT),
        ("lang", TEXT),
        ("rendering", TEXT),
        ("golds", TEXT),
        ("mask_count", pa.int32()),
        ("passage_id", TEXT),
        ("page_id", pa.int64()),
    ]
)


def read_tasks(run: RunFolder) -> Iterator[MaskTask]:
    """Return all tasks of a run. Raises StorageError when it has none."""
    files = run.files(MaskTask.dataset)
    if not files:
        run.manifest(StageName.TASKS)
        raise StorageError(f"{run.root} has no tasks", f"rampforge report {run.root} shows what was rejected, and why")
    for path in files:
        yield from read_rows(path, MaskTask)


def rank_task(task: MaskTask, measured: Difficulty | None = None) -> tuple[int, float, float, str]:
    """Return the rank of a task in the curriculum; ties are ordered by id."""
    return *rank_difficulty(task.mask_count, task.difficulty, measured), task.task_id


def list_run_prompts(
    tasks: Iterable[MaskTask],
    rendering: RenderingName,
    curriculum: bool,
    measured: Mapping[str, Difficulty] | None = None,
    learnable: Learnable = EVERY,
) -> Iterator[dict[str, Any]]:
    """Return the prompts of a run's tasks, in the order of the curriculum if requested, else of the shards.

    `measured`: measured difficulties, where known; a prompt that is not `learnable` has the reason as
    `left_out`.
    """
    form, known = RENDERINGS[rendering], measured or {}
    graded = sorted(tasks, key=lambda task: rank_task(task, known.get(task.task_id))) if curriculum else tasks
    for task in graded:
        question = ask(task)
        yield {
            "task_id": task.task_id,
            "messages": [INLINE.write(message) for message in form.prompt(question)],
            "question": question.text,
            "lang": task.lang,
            "rendering": str(rendering),
            "golds": write_json([span.forms for span in task.spans]),
            "mask_count": task.mask_count,
            "passage_id": task.passage_id,
            "page_id": task.page_id,
            "left_out": learnable.find_fault(known.get(task.task_id)),
        }


def list_export_prompts(files: Iterable[Path], rendering: RenderingName) -> Iterator[dict[str, Any]]:
    """Return the prompts of an export for TRL, in its order. Raises TrainingError for one of another format."""
    for row in read_parquet(files, EXPORTED):
        if row.get("rendering", str(rendering)) != str(rendering):
            raise TrainingError(f"the export is of {row['rendering']}", f"--rendering {row['rendering']}")
        known = {name: row[name] for name in EXPORTED if name != "prompt"}
        yield {**known, "rendering": str(rendering), "messages": row["prompt"]}


def write_prompts(
    rows: Iterable[Mapping[str, Any]],
    folder: TrainingFolder,
    tokenizer: Any,
    max_prompt: int,
    day: date | None = None,
) -> FunnelStep:
    """Write the prompts that fit; memory is flat. Raises ChatTemplateError, and TrainingError when none is left.

    `day`: date that the chat template writes, today by default.
    """
    chat = ChatText(tokenizer, day)
    rejected: Counter[str] = Counter()
    with TableFile(folder.rows, SCHEMA, {}) as file, TableFile(folder.rejects, None, {}) as rejects:
        for row in rows:
            if reason := row.get("left_out"):
                rejected[reason] += 1
                rejects.append({"row": row["task_id"], "reason": reason, "detail": "by measured difficulty"})
                continue
            prompt = chat.write_prompt([_read_message(message) for message in row["messages"]])
            length = len(tokenizer(prompt, add_special_tokens=False)["input_ids"])
            if length <= max_prompt:
                kept = {name: value for name, value in row.items() if name != "left_out"}
                file.append({**kept, "prompt": prompt, "messages": write_json(row["messages"])})
                continue
            rejected[PROMPT_TOO_LONG] += 1
            detail = f"{length} tokens, at most {max_prompt}"
            rejects.append({"row": row["task_id"], "reason": PROMPT_TOO_LONG, "detail": detail})
    if not file.rows:
        why = ", ".join(f"{count} {reason}" for reason, count in sorted(rejected.items())) or "there is none"
        fix = "raise --max-prompt" if rejected[PROMPT_TOO_LONG] else "train without --learnable"
        raise TrainingError(f"no task to train on: {why}", fix)
    entered = file.rows + rejected.total()
    return FunnelStep(stage=STAGE, unit="task", entered=entered, passed=file.rows, rejected=dict(rejected))


def require_plain_prompt(tokenizer: Any) -> None:
    """Raise TrainingError unless the template's own generation prompt is ours: verl writes it itself."""
    turn = ChatText(tokenizer).find_stream()
    if turn.lead.strip() or turn.form.switches:
        added = ", ".join([*(f"{name}={value}" for name, value in turn.form.switches), *filter(None, [turn.lead])])
        raise TrainingError(f"a stream needs more than the generation prompt of this model: {added}", "--backend trl")


def _read_message(message: Mapping[str, str]) -> ChatMessage:
    segment = Segment(kind=SegmentKind.PROMPT, text=message["content"])
    return ChatMessage(role=ChatRole(message["role"]), segments=(segment,))
