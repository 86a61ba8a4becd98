"""Command `rampforge eval`: evaluate a method on a benchmark, or compare finished evaluations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markdown import Markdown

from flows.cli.model_options import take_options
from flows.cli.options import Config, Overrides
from pipeline.errors import ConfigError
from schemas.evaluations import EvalMethod, EvalSettings

if TYPE_CHECKING:
    from flows.evaluation.run import Note
    from schemas.config import RunConfig

STOPPED = 130


Folders = Annotated[
    list[Path] | None, typer.Argument(metavar="[EVALUATION]...", help="Folders of evaluations, for --compare.")
]
Questions = Annotated[
    str | None,
    typer.Option(
        "--benchmark",
        "-b",
        help="File of questions, or hotpotqa, musique, 2wikimultihopqa, bamboogle, fanoutqa, freshqa.",
    ),
]
Method = Annotated[EvalMethod, typer.Option("--method", "-m", help="Method of answering.")]
Index = Annotated[Path | None, typer.Option(metavar="RUN", help="Run or evaluation whose index is searched.")]
Corpus = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Passages to index: JSON objects with id, title and text.")
]
Name = Annotated[str | None, typer.Option(help="Name of the evaluation; default: BENCHMARK-METHOD.")]
Out = Annotated[Path, typer.Option(help="Parent folder of the evaluation.")]
Compare = Annotated[bool, typer.Option("--compare", help="Compare evaluations with the first one named.")]
Force = Annotated[bool, typer.Option("--force", help="Compare even if the index or settings differ.")]


@take_options(EvalSettings, {name: name for name in ("runs", "sample", "seed", "judge")})
def evaluate_benchmark(
    folders: Folders = None,
    benchmark: Questions = None,
    method: Method = EvalMethod.RAG_PE,
    index: Index = None,
    corpus: Corpus = None,
    name: Name = None,
    out: Out = Path("outputs/evaluations"),
    config: Config = None,
    overrides: Overrides = None,
    compare: Compare = False,
    force: Force = False,
    **options: Any,
) -> None:
    """Evaluate a method on a benchmark; the same command resumes after an interruption.

    The metrics are token recall, exact match, substring match and F1, by the rules of rampforge and by the official
    ones of HotpotQA, Search-R1 and FanOutQA, and with --judge the verdict of a model. A question without an answer
    counts as 0. All means have 95% bootstrap intervals.

        rampforge eval -b hotpotqa.json -m rag-pe --index outputs/wiki -s llm.roles.default.model=...

        rampforge eval --compare outputs/evaluations/before outputs/evaluations/after
    """
    from flows.configuration.cache import cache_folder
    from flows.evaluation.run import PAGE, TABLE, evaluate
    from pipeline.evaluation.benchmarks import find_benchmark, read_benchmark

    if compare:
        _print_comparison(folders or [], force)
        return
    if benchmark is None or folders:
        raise ConfigError(
            "neither a benchmark nor evaluations to compare",
            "rampforge eval --benchmark FILE, or --compare FOLDER FOLDER",
        )
    cache = cache_folder()
    path = find_benchmark(benchmark, cache / "benchmarks")
    settings = _load_settings(config, overrides or [], index)
    questions = read_benchmark(path, None if path == Path(benchmark) else benchmark)
    wanted = EvalSettings(method=method, **options)
    folder = out / (name or f"{questions.name}-{method}")
    with _show_progress(folder) as note:
        evaluate(questions, folder, wanted, settings, cache, index=index, corpus=corpus, note=note)
    _print_tables((folder / TABLE).read_text(encoding="utf-8"), f"{folder}: evaluations/, {TABLE}, {PAGE}")


def _load_settings(config: str | None, overrides: list[str], index: Path | None) -> RunConfig:
    """Return the configuration given, else that of the run whose index is searched."""
    from flows.configuration.run_config import load_config
    from pipeline.storage.run_folder import RunFolder
    from schemas.config import RunConfig

    record = RunFolder(index).find_record() if index is not None and config is None else None
    return load_config(config, overrides, RunConfig.model_validate(record.config) if record else None)


def _print_comparison(folders: list[Path], force: bool) -> None:
    from flows.evaluation.run import compare_evaluations

    if len(folders) < 2:
        raise ConfigError("--compare needs at least two evaluations", "rampforge eval --compare BEFORE AFTER")
    table, page = compare_evaluations(folders, force)
    _print_tables(table, str(page))


def _print_tables(markdown: str, where: str) -> None:
    """Print tables on a terminal, and Markdown elsewhere."""
    console = Console()
    if console.is_terminal:
        console.print(Markdown(markdown))
    else:
        console.print(markdown, markup=False, highlight=False, soft_wrap=True)
    console.print(where, highlight=False, soft_wrap=True)


@contextmanager
def _show_progress(folder: Path) -> Iterator[Note]:
    """Show a progress bar. On Ctrl-C, print how to resume."""
    from flows.monitoring.progress import show_questions

    console = Console(stderr=True)
    try:
        with show_questions(console) as note:
            yield note
    except KeyboardInterrupt:
        line = f"stopped; finished answers and calls are kept in {folder}: the same command resumes"
        console.print(line, highlight=False, markup=False, soft_wrap=True)
        raise typer.Exit(STOPPED) from None
