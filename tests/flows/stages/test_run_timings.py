"""Timings that run.json keeps."""

from __future__ import annotations

import json
from pathlib import Path

from flows.configuration.run_context import RunContext
from flows.execution.shard import RESOURCES
from flows.stages.run_record import write_record
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.stage_ledger import close_stage, discard_stage, open_stage
from schemas.config import RunConfig
from schemas.ledger import StageTiming


def test_a_discarded_stage_has_no_timing(tmp_path: Path) -> None:
    (tmp_path / "pages.jsonl").write_text(json.dumps({"title": "Ely", "text": "A town."}) + "\n")
    sources = {"sources": [str(tmp_path / "pages.jsonl")]}
    config = RunConfig.model_validate({"corpus": sources, "masking": {"ner": None, "scorer": None}})
    context = RunContext(RunFolder(tmp_path / "run"), config, tmp_path, RESOURCES)
    corpus, chunk = (StageTiming(stage=name, seconds=1, work_seconds=1, inputs=1) for name in ("corpus", "chunk"))
    for timing in (corpus, chunk):
        open_stage(context.run, timing.stage, {}, None)
        close_stage(context.run, timing.stage, [])
        write_record(context, [timing])
    assert context.run.record().timings == (corpus, chunk)
    discard_stage(context.run, "chunk")
    write_record(context, [])
    assert context.run.record().timings == (corpus,)
