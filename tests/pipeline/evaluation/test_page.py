"""Tables and the page of evaluations: outside text is inert in them, and the page is silent in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.evaluation.comparing import compare_totals
from pipeline.evaluation.page import EvaluationComparison, write_page
from pipeline.evaluation.summary import make_groups, sum_rows
from pipeline.evaluation.tables import write_differences, write_results
from schemas.evaluations import EvalMethod, Evaluation, EvaluationResult
from schemas.judgements import Verdict
from tests.support.headless_chromium import CHROMIUM, Page, open_chromium
from tests.support.report_samples import POISON


def make_rows(right: int, model: str, runs: int = 2) -> Iterator[Evaluation]:
    """Twenty questions of two benchmarks, so many of them answered right."""
    for number in range(20):
        for run in range(runs):
            good = float(number < right)
            yield Evaluation(
                evaluation_id=f"{model}-{number}-{run}",
                question_id=f"q{number}",
                benchmark=f"{POISON} {number % 2}",
                lang="en",
                question=POISON,
                golds=((POISON,),),
                method=EvalMethod.RAG_PE,
                model=model,
                run=run,
                answer=POISON if good else "none of it",
                finished=number != 19,
                stop="answered" if number != 19 else POISON,
                recall=good,
                exact=good,
                substring=good,
                f1=good,
                verdict=Verdict.CORRECT if good else Verdict.UNJUDGEABLE,
                verdict_reason=POISON,
                turns=1,
                searches=1,
                shown=(),
                support=None,
                usage=(),
                prompts=(),
                sampling="{}",
                engine="e",
            )


def make_result(right: int, name: str) -> EvaluationResult:
    totals = sum_rows(make_rows(right, POISON))
    return EvaluationResult(
        name=name,
        method=EvalMethod.RAG_PE,
        model=POISON,
        runs=2,
        offered=20,
        rejected={},
        sampled_out=0,
        questions=20,
        answers=40,
        finished=38,
        unfinished={POISON: 2},
        unjudged=totals.unjudged,
        groups=make_groups(totals),
        support=None,
        searches=1,
        calls=0,
        prompt_tokens=0,
        completion_tokens=0,
        cost=0,
        questions_digest="d",
        engine="e",
        k=3,
        version="0",
    )


def build(folder: Path) -> Path:
    results = [make_result(5, f"before {POISON}"), make_result(12, "after")]
    totals = [sum_rows(make_rows(right, POISON)) for right in (5, 12)]
    differences = compare_totals(*totals)
    path = folder / "page.html"
    path.write_text(write_page(results, [EvaluationComparison(results[0].name, "after", differences)]), "utf-8")
    return path


def test_figures_of_rows() -> None:
    totals = sum_rows(make_rows(5, "m"))
    whole, *halves = make_groups(totals)
    assert (whole.questions, [half.questions for half in halves]) == (20, [10, 10])
    assert {metric.mean for metric in whole.metrics.values()} == {0.25}
    assert totals.unjudged == 30
    assert totals.stops.total() == 2
    (pair, *_) = compare_totals(totals, sum_rows(make_rows(12, "m")))
    assert (pair.base, pair.other, pair.better, pair.worse) == (0.25, 0.6, 7, 0)
    assert pair.p_value < 0.05
    assert pair.low > 0


def test_outside_text_stays_in_its_cell() -> None:
    table = write_results([make_result(5, f"a | b {POISON}")])
    lines = [line for line in table.splitlines() if line.startswith("|")]
    assert len({line.replace("\\\\|", "").count("|") for line in lines}) == 1
    assert "<script" not in table
    totals = sum_rows(make_rows(5, "m"))
    assert "<script" not in write_differences(POISON, "b", compare_totals(totals, totals))


def test_the_page_is_one_inert_file(tmp_path: Path) -> None:
    text = build(tmp_path).read_text("utf-8")
    assert "<script" not in text.lower()
    assert "onerror=window" not in text.replace("&#34;", "").replace(" onerror", "")
    assert "{{ 7*7 }}" in text
    assert text == build(tmp_path).read_text("utf-8")


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_is_silent_and_fits(tmp_path: Path, width: int) -> None:
    path = build(tmp_path)
    with open_chromium(tmp_path / "profile") as page:
        check_page(page, path, width)


def check_page(page: Page, path: Path, width: int) -> None:
    page.open(path, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.complaints() == []
    assert [url for url in page.requests() if not url.startswith("file:")] == []
    assert page.evaluate("typeof window.broken") == "undefined"
