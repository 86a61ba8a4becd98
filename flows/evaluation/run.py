"""Evaluation of a method on a benchmark, in a folder of its own: rows, calls and figures.

evaluations/part-0.parquet       a row for each question and run
rejects/                         rows of the benchmark, and of a corpus, that could not be used
results.json, results.md, results.html
calls/, ledger/, journals/       as in a run: killed at any moment, the same command goes on and pays nothing twice
index/, passages/                made from --corpus
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from flows.checks.session import open_session, settle_config
from flows.checks.start import require_start
from flows.configuration.provenance import rampforge_version, stage_provenance
from flows.configuration.run_context import RunContext
from flows.evaluation.index import prepare_bench, write_rejects
from flows.evaluation.solvers import SHARD, Bench, digest_prompts, list_eval_roles, open_bench_engine, open_evaluation
from flows.models.policy import DAY, policy_facts, read_day
from pipeline.errors import ConfigError
from pipeline.evaluation.benchmarks import STAGE as BENCHMARK_STAGE
from pipeline.evaluation.benchmarks import Benchmark, count_reasons, digest_questions, draw_sample, read_benchmark
from pipeline.evaluation.comparing import check_comparable, compare_totals, list_mismatches
from pipeline.evaluation.evaluation_stage import STAGE
from pipeline.evaluation.page import EvaluationComparison, write_page
from pipeline.evaluation.summary import EvaluationTotals, make_groups, sum_rows
from pipeline.evaluation.tables import write_differences, write_results
from pipeline.stage import Outcome, Stage
from pipeline.storage.files import write_atomically
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shard_run import ShardPlan, run_shard
from pipeline.storage.shards import read_rows
from pipeline.storage.stage_ledger import close_stage, open_stage, pick_settings
from schemas.config import RunConfig
from schemas.evaluations import EvalMethod, EvalQuestion, EvalSettings, Evaluation, EvaluationResult
from schemas.roles import Role

RESULTS, TABLE, PAGE, COMPARISON = "results.json", "results.md", "results.html", "comparison.html"
Note = Callable[[int, int], None]
"""Called with the number of questions done, and of all."""


def evaluate(
    questions: Path | Benchmark,
    out: Path,
    settings: EvalSettings,
    config: RunConfig,
    cache: Path,
    *,
    index: Path | None = None,
    corpus: Path | None = None,
    note: Note | None = None,
) -> EvaluationResult:
    """Answer the questions of a benchmark and sum up the answers; called again, it goes on where it was.

    Args:
        questions: The benchmark, or its file.
        out: Folder of the evaluation.
        settings: Method, runs, sample.
        config: Search engine, models, limits.
        cache: Folder of the assets.
        index: A run's folder, or another evaluation's, whose index is searched.
        corpus: A file of passages to build an index from, in `out`.
        note: Told how far it is.

    Raises RampforgeError: for other settings than the folder was begun with, too.
    """
    benchmark = questions if isinstance(questions, Benchmark) else read_benchmark(questions)
    sampled = draw_sample(benchmark.questions, settings.sample, settings.seed)
    run, roles = RunFolder(out), list_eval_roles(settings, config)
    with ExitStack() as stack:
        stack.enter_context(run.locked())
        config = settle_config(config, roles)
        if settings.method is EvalMethod.POLICY:
            config = config.with_section("agents", policy=Role.POLICY)
        context = RunContext(run, config, cache)
        owed = run.find_commit(STAGE, SHARD) is None
        calls = require_start(context, roles) if owed else ()
        bench = prepare_bench(context, settings.method, index, corpus)
        fingerprint = open_bench_engine(bench).fingerprint
        facts = {"questions": digest_questions(sampled), "engine": fingerprint}
        facts["prompts"] = digest_prompts(settings, config, (question.lang for question in sampled))
        _open_ledger(bench, settings, facts)
        write_rejects(run, BENCHMARK_STAGE, benchmark.rejects)
        if owed:
            served = stack.enter_context(open_session(context, roles, calls))
            _work(replace(bench, context=served), settings, sampled, note)
        close_stage(run, STAGE, [SHARD])
    result = _sum_up(run, benchmark, sampled, settings, config, fingerprint)
    write_atomically(run.root / RESULTS, result.model_dump_json(indent=1).encode())
    write_atomically(run.root / TABLE, write_results([result]).encode())
    write_atomically(run.root / PAGE, write_page([result], ()).encode())
    return result


def read_result(folder: Path) -> EvaluationResult:
    """The figures of a finished evaluation. Raises ConfigError when there are none."""
    path = folder / RESULTS
    if not path.is_file():
        raise ConfigError(f"{folder}: no {RESULTS} here", "name the folder of an evaluation that is finished")
    return EvaluationResult.model_validate_json(path.read_bytes())


def read_totals(folder: Path) -> EvaluationTotals:
    """The sums over the rows of a finished evaluation."""
    return sum_rows(read_rows(RunFolder(folder).part(Evaluation.dataset, SHARD, STAGE), Evaluation))


def compare_evaluations(folders: Sequence[Path], force: bool) -> tuple[str, Path]:
    """Compare evaluations with the first: the tables as Markdown, and the page that is written beside the last.

    Raises ConfigError when their questions, index or settings differ, unless `force` is set."""
    results = [read_result(folder) for folder in folders]
    if not force:
        for other in results[1:]:
            check_comparable(results[0], other)
    totals = [read_totals(folder) for folder in folders]
    comparisons = [
        EvaluationComparison(results[0].name, result.name, compare_totals(totals[0], total))
        for result, total in zip(results[1:], totals[1:], strict=True)
    ]
    tables = [write_results(results), *(write_differences(c.base, c.other, c.differences) for c in comparisons)]
    warnings = [
        f"Forced: not comparable by {'; '.join(found)}\n"
        for other in results[1:]
        if (found := list_mismatches(results[0], other))
    ]
    page = folders[-1] / COMPARISON
    write_atomically(page, write_page(results, comparisons).encode())
    return "\n".join([*warnings, *tables]), page


def _work(bench: Bench, settings: EvalSettings, questions: tuple[EvalQuestion, ...], note: Note | None) -> None:
    """Answer what is owed."""
    run = bench.context.run
    plan = ShardPlan(run, STAGE, SHARD, (Evaluation,), stage_provenance(run, STAGE))
    stage = open_evaluation(bench, settings)
    run_shard(plan, _Watched(stage, note or (lambda *_: None), len(questions)), questions)


class _Watched:
    """A stage whose outcomes are counted as they come."""

    whole_shard = False

    def __init__(self, stage: Stage[Any], note: Note, total: int) -> None:
        self._stage = stage
        self._note = note
        self._total = total

    def run(self, inputs: Iterable[Any]) -> Iterator[Outcome]:
        """The stage's outcomes, unchanged."""
        owed = list(inputs)
        done = self._total - len(owed)
        self._note(done, self._total)
        for outcome in self._stage.run(owed):
            yield outcome
            done += 1
            self._note(done, self._total)


def _open_ledger(bench: Bench, settings: EvalSettings, facts: Mapping[str, str]) -> None:
    """Refuse to go on under other settings than the folder was begun with."""
    context = bench.context
    decides = ["search", "agents"]
    if settings.method is not EvalMethod.EXTRACTIVE or settings.judge:
        decides += ["llm.roles"]
    if settings.judge:
        decides += ["judging"]
    options = {f"eval.{key}": str(value) for key, value in settings.model_dump(mode="json").items()}
    known = options | dict(facts) | dict(policy_facts(context))
    if settings.method is EvalMethod.POLICY:
        known[DAY] = read_day(context.run).isoformat()
    try:
        open_stage(context.run, STAGE, pick_settings(context.config, decides) | known, None)
    except ConfigError as error:
        fix = "the options that it was begun with go on; `--name OTHER` begins a new evaluation"
        raise ConfigError(error.what.replace("stage evaluation", "this evaluation"), fix) from None


def _sum_up(
    run: RunFolder,
    benchmark: Benchmark,
    sampled: tuple[EvalQuestion, ...],
    settings: EvalSettings,
    config: RunConfig,
    engine: str,
) -> EvaluationResult:
    totals = read_totals(run.root)
    supports = totals.supports
    return EvaluationResult(
        name=run.name,
        method=settings.method,
        model=totals.model,
        runs=settings.runs,
        offered=len(benchmark.questions) + len(benchmark.rejects),
        rejected=count_reasons(benchmark.rejects),
        sampled_out=len(benchmark.questions) - len(sampled),
        questions=len(sampled),
        answers=totals.answers,
        finished=totals.answers - totals.stops.total(),
        unfinished=dict(sorted(Counter(totals.stops).items())),
        unjudged=totals.unjudged,
        groups=make_groups(totals),
        support=sum(supports) / len(supports) if supports else None,
        searches=totals.searches / totals.answers,
        calls=totals.calls,
        prompt_tokens=totals.prompt_tokens,
        completion_tokens=totals.completion_tokens,
        cost=totals.cost,
        questions_digest=digest_questions(sampled),
        engine=engine,
        k=config.search.k,
        version=rampforge_version(),
    )
