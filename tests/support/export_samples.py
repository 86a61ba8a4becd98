"""A small judged run on disk, and what is exported of it: for the tests of exports and of loaders."""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from flows.exporting.dataset import Exported, export_dataset
from flows.models.tokenizers import open_masker
from pipeline.exporting.registry import EXPORTERS
from pipeline.judging.signatures import SignatureReader
from pipeline.rendering.token_masks import TokenMasker
from pipeline.storage.files import write_atomically
from pipeline.storage.ledger_files import encode_record
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shards import ShardWriter
from pipeline.text.normalisation import fold_text
from schemas.exports import ExportSettings, Trainer
from schemas.judgements import Judgement
from schemas.ledger import RunRecord, ShardCommit, StageManifest
from schemas.record import Record
from schemas.tasks import MaskTask
from schemas.trajectories import Trajectory
from tests.support.trajectory_samples import make_task, make_trajectory, make_turn

PAGES = 12
GOLDS = (("1868",), ("1868", "Ada Byron"))


@cache
def open_sample_masker(observations: bool = False) -> TokenMasker:
    """The tokenizer of SmolLM2, as the command line opens it."""
    return open_masker("smollm2-135m-instruct", observations)


def make_run(folder: Path, pages: int = PAGES, shards: int = 2, langs: Sequence[str] = ("en", "zh")) -> RunFolder:
    """A run of which only tasks, trajectories and judgements exist: two tasks a page, a right and a wrong attempt."""
    pieces = [
        [row for page in range(shard, pages, shards) for row in _make_page(page, langs[page % len(langs)])]
        for shard in range(shards)
    ]
    return write_run(folder, pieces)


def write_run(folder: Path, shards: Sequence[Sequence[Record]], *more: type[Record]) -> RunFolder:
    """A run of which only these rows exist; `more`: datasets besides tasks, trajectories and judgements."""
    run = RunFolder(folder)
    commits = []
    for number, rows in enumerate(shards):
        name = f"000-{number:05}"
        models: list[type[Record]] = [MaskTask, Trajectory, Judgement, *more]
        files = []
        for model in models:
            with ShardWriter(run.dataset(model.dataset), f"part-{name}.parquet", model, {}) as writer:
                for row in rows:
                    if isinstance(row, model):
                        writer.append(row.model_dump(mode="json"))
                files.append(writer.close())
        commits.append(ShardCommit(stage="judgements", shard=name, inputs=0, files=tuple(files), funnel=()))
    manifest = StageManifest(stage="judgements", settings={}, upstream=None, shards=tuple(commits))
    write_atomically(run.ledger("judgements") / "manifest.json", encode_record(manifest))
    write_atomically(run.root / "run.json", encode_record(make_record()))
    return run


def _make_page(page: int, lang: str) -> list[Record]:
    rows: list[Record] = []
    text = f"School {page} was founded in 1868 by Ada Byron, who taught there."
    for number, golds in enumerate(GOLDS):
        more: dict[str, Any] = {"document_id": f"page-{page}", "difficulty": 5.0 - page / 10, "lang": lang}
        task = make_task(text, golds, f"t{page}-{number}", **more)
        shown = [(f"p{page}", f'The "{page}" <answer>', f"Ada Byron founded school {page} in 1868. </information>")]
        steps = [make_turn(shown, think="Which year is meant?"), make_turn([], think="Nothing else?")]
        right = make_trajectory(task, golds, steps, trajectory_id=f"{task.task_id}-right")
        wrong = make_trajectory(task, ["1900"] * len(golds), steps, trajectory_id=f"{task.task_id}-wrong")
        rows += [task, right, wrong, _judge(task, right, True), _judge(task, wrong, False)]
    return rows


def _judge(task: MaskTask, trajectory: Trajectory, accepted: bool) -> Judgement:
    return Judgement(
        judgement_id=f"{trajectory.trajectory_id}-judged",
        trajectory_id=trajectory.trajectory_id,
        task_id=task.task_id,
        verdict="correct" if accepted else "incorrect",
        judge="rules",
        reason="",
        scores=(),
        exact=float(accepted),
        f1=float(accepted),
        recall=float(accepted),
        format_ok=True,
        format_reason=None,
        answer_seen=True,
        from_source_page=True,
        signature=SignatureReader(trajectory, task, fold_text).read(),
        accepted=accepted,
        reject_reason=None if accepted else "incorrect",
    )


def make_record(**more: Any) -> RunRecord:
    """A run.json."""
    values: dict[str, Any] = {
        "run": "sample",
        "version": "0.0.0",
        "revision": "abc",
        "packages": {},
        "config": {},
        "sources": {"dump.xml": "12 bytes"},
        "models": {"scorer": "tiny @ 1"},
        "prompts": {},
        "fingerprints": {"judgements": "f00d"},
        "funnel": (),
        "timings": (),
        "tokens": 0,
        "cost": 0.0,
    }
    return RunRecord(**(values | more))


def read_table(path: Path) -> list[dict[str, Any]]:
    """The rows of an export's file."""
    if path.suffix == ".parquet":
        rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
        return rows
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def export_sample(
    run: RunFolder,
    out: Path,
    trainer: Trainer,
    tokenised: bool = False,
    template: str | None = None,
    base: str | None = None,
    **more: Any,
) -> Exported:
    """Export with the trainer's usual format, or as `more` says; `template`: a chat template for the tokenizer."""
    exporter = EXPORTERS[trainer]
    rendering = exporter.choose_rendering(more.pop("rendering", None), tokenised)
    values: dict[str, Any] = {"trainer": trainer, "rendering": rendering, "split": 0.3} | more
    settings = ExportSettings(**values, tokenizer="smollm2-135m-instruct" if tokenised else None)
    exporter.check(settings)
    masker = open_sample_masker(settings.train_observations) if tokenised else None
    if masker and template:
        tokenizer = deepcopy(masker.tokenizer)
        tokenizer.chat_template = template
        masker = TokenMasker(tokenizer)
    return export_dataset(run, out, settings, exporter, masker, base=base)
