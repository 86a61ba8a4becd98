"""The stage that draws report.html from what the others have written."""

from __future__ import annotations

from collections.abc import Collection

from flows.configuration.run_context import RunContext
from flows.stages.spec import StageSpec, list_datasets
from pipeline.storage.shards import reading_boundary
from schemas.config import StageName
from schemas.judgements import Judgement


def specify_report(reported: Collection[StageSpec]) -> StageSpec:
    """The stage that draws the report over some stages."""

    def draw_report(context: RunContext) -> None:
        from pipeline.report.collecting import collect_report
        from pipeline.report.page import build_report

        files = {dataset: context.run.files(dataset) for dataset in list_datasets(reported)}
        with reading_boundary(context.run.root, context.run.location):
            data = collect_report(context.run.record(), files, context.config.report.examples)
        context.run.write(context.run.report, build_report(data).encode())

    return StageSpec(
        StageName.REPORT,
        "Write report.html from the current content of the run.",
        inputs=(StageName.JUDGEMENTS,),
        unit="judgement",
        scales_with=None,
        config_keys=lambda _: ("report",),
        counted=Judgement,
        prepare=draw_report,
        made=lambda run: (run.report,),
    )
