"""The rows of reinforcement learning: prompts with their golds, and what the search engine is to withhold.

One file serves both backends: TRL reads it as it is, verl's dataset is made from it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import StorageError
from pipeline.rendering.chat_text import ChatText
from pipeline.rendering.formats import RENDERINGS
from pipeline.rendering.transcript import ask
from pipeline.storage.boundary import put_in_place, storage_boundary, temporary_name
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shards import read_rows
from pipeline.training.folders import TrainingFolder
from pipeline.training.requests import TrainingError
from pipeline.training.sft_rows import read_parquet
from schemas.funnel import FunnelStep
from schemas.renderings import ChatMessage, ChatRole, RenderingName, Segment, SegmentKind
from schemas.tasks import MaskTask

STAGE = "train"
PROMPT_TOO_LONG = "prompt_too_long"
EXPORTED = ("prompt", "golds", "question", "lang", "mask_count", "task_id")
"""Columns that an export of prompts has."""
SCHEMA = pa.schema(
    [
        ("task_id", pa.string()),
        ("prompt", pa.string()),
        ("messages", pa.string()),
        ("question", pa.string()),
        ("lang", pa.string()),
        ("golds", pa.string()),
        ("mask_count", pa.int32()),
        ("passage_id", pa.string()),
        ("page_id", pa.int64()),
    ]
)


def read_tasks(run: RunFolder) -> Iterator[MaskTask]:
    """All tasks of a run. Raises StorageError when it has none."""
    files = sorted(run.dataset(MaskTask.dataset).glob("*.parquet"))
    if not files:
        raise StorageError(f"{run.root} has no tasks", f"make them: rampforge mask {run.root}")
    for path in files:
        yield from read_rows(path, MaskTask)


def rank_task(task: MaskTask) -> tuple[float, float, str]:
    """The place of a task in the curriculum: few masks first, then by measured difficulty, unknown ones last."""
    return task.mask_count, float("inf") if task.difficulty is None else task.difficulty, task.task_id


def list_run_prompts(tasks: Iterable[MaskTask], rendering: RenderingName, curriculum: bool) -> Iterator[dict[str, Any]]:
    """The prompts of a run's tasks, in the order of the curriculum when asked, else of the shards."""
    form = RENDERINGS[rendering]
    for task in sorted(tasks, key=rank_task) if curriculum else tasks:
        question = ask(task)
        yield {
            "task_id": task.task_id,
            "messages": [_write_message(message) for message in form.prompt(question)],
            "question": question.text,
            "lang": task.lang,
            "golds": json.dumps([[span.text, *span.aliases] for span in task.spans], ensure_ascii=False),
            "mask_count": task.mask_count,
            "passage_id": task.passage_id,
            "page_id": task.page_id,
        }


def list_export_prompts(files: Iterable[Path], rendering: RenderingName) -> Iterator[dict[str, Any]]:
    """The prompts of an export for TRL, in its own order; it does not say which passage to withhold, unless it does.

    Raises TrainingError for one of another format.
    """
    for row in read_parquet(files, EXPORTED):
        if row.get("rendering", str(rendering)) != str(rendering):
            raise TrainingError(f"the export is of {row['rendering']}", f"--rendering {row['rendering']}")
        known = {name: row[name] for name in ("task_id", "question", "lang", "golds", "mask_count")}
        hidden = {"passage_id": row.get("passage_id") or "", "page_id": row.get("page_id") or 0}
        yield {**known, **hidden, "messages": row["prompt"]}


def write_prompts(
    rows: Iterable[Mapping[str, Any]], folder: TrainingFolder, tokenizer: Any, max_prompt: int
) -> FunnelStep:
    """Write the prompts that fit; memory is flat. Raises ChatTemplateError, and TrainingError when none is left."""
    chat = ChatText(tokenizer)
    rejected: Counter[str] = Counter()
    folder.rows.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(folder.rows)
    passed = 0
    with storage_boundary(folder.rows), folder.rejects.open("w", encoding="utf-8") as rejects:
        with pq.ParquetWriter(temporary, SCHEMA, compression="zstd") as writer:
            for row in rows:
                prompt = chat.write_prompt([_read_message(message) for message in row["messages"]], None)
                length = len(tokenizer(prompt, add_special_tokens=False)["input_ids"])
                if length > max_prompt:
                    rejected[PROMPT_TOO_LONG] += 1
                    detail = f"{length} tokens, at most {max_prompt}"
                    said = {"row": row["task_id"], "reason": PROMPT_TOO_LONG, "detail": detail}
                    rejects.write(json.dumps(said) + "\n")
                    continue
                messages = json.dumps(row["messages"], ensure_ascii=False)
                whole = {**row, "prompt": prompt, "messages": messages}
                writer.write_table(pa.Table.from_pylist([whole], schema=SCHEMA))
                passed += 1
        if passed:
            put_in_place(temporary, folder.rows)
    if not passed:
        temporary.unlink(missing_ok=True)
        raise TrainingError(f"no task to train on: {rejected.total()} prompts are too long", "raise --max-prompt")
    entered = passed + rejected.total()
    return FunnelStep(stage=STAGE, unit="task", entered=entered, passed=passed, rejected=dict(rejected))


def _write_message(message: ChatMessage) -> dict[str, str]:
    return {"role": str(message.role), "content": message.content}


def _read_message(message: Mapping[str, str]) -> ChatMessage:
    segment = Segment(kind=SegmentKind.PROMPT, text=message["content"])
    return ChatMessage(role=ChatRole(message["role"]), segments=(segment,))
