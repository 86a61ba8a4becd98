"""A shortfall names the tasks that are missing, the reasons, and whether a higher limit can give more."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.report.collecting import collect_report
from pipeline.report.page import build_report
from pipeline.report.shortfall import describe_shortfall
from schemas.funnel import NOT_SAMPLED, FunnelStep
from schemas.ledger import RunRecord
from tests.support.report_samples import make_record

DONE = {"tasks": "0" * 20}


def make_run(asked: int | None, *steps: FunnelStep, finished: bool = True) -> RunRecord:
    update = {"asked_tasks": asked, "funnel": steps, "fingerprints": DONE if finished else {}}
    return make_record().model_copy(update=update)


def count(stage: str, unit: str, passed: int, **rejected: int) -> FunnelStep:
    return FunnelStep.count(stage, unit, passed, rejected)


def test_reasons_of_passages_and_tasks_are_summed_and_those_of_spans_are_not() -> None:
    line = describe_shortfall(
        make_run(
            12,
            count("chunk", "passage", 90, too_short=11),
            count("spans", "span", 40, easy=77),
            count("spans", "passage", 15, no_span=4, **{NOT_SAMPLED: 1981}),
            count("tasks", "passage", 10, no_span=1, too_few_spans=4),
            count("tasks", "task", 7, unreachable=3),
        ),
        7,
    )
    assert re.findall(r"([a-z]+_?[a-z_]*[a-z]{4}) (\d+)[,;]", line) == [
        ("no_span", "5"),
        ("too_few_spans", "4"),
        ("unreachable", "3"),
    ]
    assert re.findall(r"[\d,]*\d", line)[:4] == ["7", "12", "19", "2,000"]


@pytest.mark.parametrize(
    ("sampled", "left", "helps"), [(3, {}, True), (0, {"over_limit": 2}, True), (0, {"no_span": 2}, False)]
)
def test_a_higher_limit_is_named_only_where_it_can_give_more(sampled: int, left: dict[str, int], helps: bool) -> None:
    spans = FunnelStep.count("spans", "passage", 4, {NOT_SAMPLED: sampled})
    line = describe_shortfall(make_run(5, spans, FunnelStep.count("tasks", "passage", 2, left)), 2)
    assert ("higher limit" in line) is helps


@given(st.none() | st.integers(1, 9), st.integers(0, 9), st.booleans())
def test_nothing_is_said_unless_finished_tasks_are_missing(asked: int | None, made: int, finished: bool) -> None:
    line = describe_shortfall(make_run(asked, finished=finished), made)
    assert bool(line) is (finished and asked is not None and made < asked)


def test_the_report_tells_it() -> None:
    assert "of the 31,415 tasks" in build_report(collect_report(make_run(31_415), {}, examples=0))
    assert "tasks asked for" not in build_report(collect_report(make_run(None), {}, examples=0))
