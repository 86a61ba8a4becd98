"""Command `rampforge calibrate`: reliability of a configured judge, measured on labelled answers."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from flows.cli.options import Config, Overrides
from flows.configuration.cache import cache_folder
from flows.configuration.run_config import load_config
from flows.configuration.run_context import RunContext
from pipeline.storage.run_folder import RunFolder


def calibrate(
    config: Config = None,
    overrides: Overrides = None,
    pairs: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Labelled answers, JSON Lines; default: the built-in set.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the journal of calls.")] = Path("outputs/calibration"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Measure the agreement of the configured judge with labelled answers, and print whether it is reliable enough."""
    from flows.evaluation.judge_calibration import describe, judge_all, print_tables
    from pipeline.judging.calibration import PACKAGED, read_labelled
    from pipeline.judging.calibration_advice import assess_judge

    settings = load_config(config, overrides or []).with_section("judging", judge="llm")
    labelled = read_labelled(pairs or PACKAGED)
    judged = judge_all(RunContext(RunFolder(out), settings, cache_folder()), labelled)
    assessment = assess_judge(judged)
    if as_json:
        sys.stdout.write(json.dumps(describe(settings, judged, assessment), ensure_ascii=False, indent=1) + "\n")
    else:
        print_tables(Console(), settings, judged, assessment)
