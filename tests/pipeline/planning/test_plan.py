"""Plans: what was measured is given back, what differs is scaled, what is not known is said."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.execution.plan import PlanQuestion, answer, find_means
from pipeline.errors import ConfigError
from pipeline.llm.usage_log import CallUsage
from pipeline.planning.estimate import MAYBE, STOPS, UNKNOWN, WITHIN, Machines, estimate
from pipeline.planning.measuring import measure_run
from pipeline.planning.spending import compare_spending
from pipeline.planning.spread import Spread
from pipeline.planning.workload import expect_turns, plan_workload
from schemas.arrow import arrow_schema
from schemas.config import RunConfig
from schemas.funnel import FunnelStep
from schemas.plan import CostPlan, Means, Range, TurnCounts
from schemas.spending import RoleSpending
from schemas.trajectories import HideMode, StopReason, Trajectory
from tests.support.report_samples import make_record
from tests.support.trajectory_samples import make_task, make_trajectory, make_turn

ROLES = ("planner", "rewriter", "observer", "judge")
SHIPPED = PlanQuestion(None, None, None, Path(), cores=2)
CONFIG = RunConfig.model_validate(
    {
        "masking": {"limit": 6, "mask_counts": [1, 2]},
        "agents": {"policy": "agents"},
        "judging": {"judge": "llm"},
        "execution": {"workers": 2},
        "llm": {"roles": {"default": {"model": "m"}}, "prices": {"m": {"prompt": 1, "completion": 4}}, "in_flight": 8},
    }
)
TURNS = (1, 2, 3, 1, 5, 5)
"""How many turns the six attempts took."""


def make_entries(turns: Sequence[int] = TURNS) -> list[CallUsage]:
    """One call a role and turn, two seconds each, one after the other; the judge is asked of every second attempt."""
    calls = [role for count in turns for _ in range(count) for role in ROLES[:3]]
    calls += [ROLES[3]] * (len(turns) // 2)
    return [
        CallUsage(role, "m", 500 + 10 * (n % 7), 50 + n % 5, 0.001, ended=2.0 * (n + 1), seconds=2.0)
        for n, role in enumerate(calls)
    ]


@pytest.fixture
def measured(tmp_path: Path) -> Means:
    rows = []
    for number, count in enumerate(TURNS):
        task = make_task("Founded in 1868 by Ada.", ("1868", "Ada")[: 1 + number % 2], name=f"task{number}")
        stop = StopReason.MAX_TURNS if count == 5 else StopReason.ANSWERED
        turns = [make_turn([("p", "A", "In 1868.")])] * count
        rows.append(make_trajectory(task, ["1868"] * task.mask_count, turns, stop_reason=stop))
    table = pa.Table.from_pylist([row.model_dump(mode="json") for row in rows], schema=arrow_schema(Trajectory))
    pq.write_table(table, tmp_path / "part-0.parquet")
    funnel = (
        FunnelStep(stage="trajectories", unit="trajectory", entered=6, passed=6, rejected={}),
        FunnelStep(stage="judgements", unit="trajectory", entered=6, passed=4, rejected={"wrong_answer": 2}),
    )
    record = make_record().model_copy(update={"config": CONFIG.model_dump(mode="json"), "funnel": funnel})
    return measure_run("pilot", record, make_entries(), [tmp_path / "part-0.parquet"])


def plan_for(config: RunConfig, means: Means, machines: Machines | None = None) -> CostPlan:
    return estimate(config, ROLES, plan_workload(config, means, None), means, machines or Machines(16))


def change(**sections: dict[str, object]) -> RunConfig:
    values = CONFIG.model_dump(mode="json")
    for name, more in sections.items():
        values[name] = values[name] | more
    return RunConfig.model_validate(values)


def test_plan_of_a_measured_run_equals_its_spending(measured: Means) -> None:
    plan = plan_for(CONFIG, measured)
    entries = make_entries()
    for role in plan.roles[:-1]:
        mine = [entry for entry in entries if entry.role == role.role]
        assert role.calls.mean == pytest.approx(len(mine))
        assert role.prompt_tokens.mean == pytest.approx(sum(entry.prompt_tokens for entry in mine))
        assert role.completion_tokens.mean == pytest.approx(sum(entry.completion_tokens for entry in mine))
        assert role.money
        assert role.money.low < role.money.mean < role.money.high
    assert plan.hours_at_pace
    assert plan.hours_at_pace.mean == pytest.approx(2 * len(entries) / 3600)
    assert plan.hours_at_full_flight
    assert plan.hours_at_full_flight.mean == pytest.approx(2 * len(entries) / 3600 / 16)


def test_calls_grow_with_tasks_modes_attempts_and_votes(measured: Means) -> None:
    base = {role.role: role.calls.mean for role in plan_for(CONFIG, measured).roles}
    larger = change(
        masking={"limit": 600},
        search={"hide": ["passage", "page"]},
        agents={"attempts": 3},
        judging={"votes": 5, "temperature": 0.5},
    )
    grown = plan_for(larger, measured)
    assert grown.workload.attempts == 600 * 2 * 3
    for role in grown.roles[:-1]:
        assert role.calls.mean == pytest.approx(base[role.role] * 600 * (5 if role.role == "judge" else 1))
    assert any("hide modes" in note for note in grown.notes)


def test_fewer_turns_are_counted_exactly_and_more_at_the_upper_end(measured: Means) -> None:
    short = expect_turns(measured, (1, 2), (HideMode.PASSAGE,), 2)
    assert short.mean == pytest.approx(sum(min(count, 2) for count in TURNS) / len(TURNS))
    usual, more = (expect_turns(measured, (1, 2), (HideMode.PASSAGE,), most) for most in (5, 9))
    assert more.mean == usual.mean == pytest.approx(sum(TURNS) / len(TURNS))
    assert more.high == pytest.approx(usual.high + 4 * 2 / 6)


def test_turns_depend_on_the_number_of_masks(measured: Means) -> None:
    ones, twos = TURNS[::2], TURNS[1::2]
    assert expect_turns(measured, (1,), (HideMode.PASSAGE,), 5).mean == pytest.approx(sum(ones) / 3)
    assert expect_turns(measured, (2,), (HideMode.NONE,), 5).mean == pytest.approx(sum(twos) / 3)
    assert expect_turns(measured, (4,), (HideMode.PASSAGE,), 5).mean == pytest.approx(sum(TURNS) / 6)


def test_gpu_hours_need_gpus_and_a_throughput(measured: Means) -> None:
    assert plan_for(CONFIG, measured).roles[-1].gpu_hours is None
    ours = plan_for(CONFIG, measured, Machines(16, gpus=4, tokens_per_second=1000.0)).roles[-1]
    assert ours.gpu_hours
    assert ours.gpu_hours.mean == pytest.approx(ours.tokens.mean / 1000 / 3600 * 4)


def test_caps_are_kept_passed_or_unknown(measured: Means) -> None:
    spent = sum(entry.prompt_tokens + entry.completion_tokens for entry in make_entries())
    for tokens, verdict in ((spent * 10, WITHIN), (spent, MAYBE), (spent // 20, STOPS)):
        (cap,) = plan_for(change(llm={"budget": {"tokens": tokens}}), measured).caps
        assert cap.verdict == verdict
    assert cap.reaches == pytest.approx(1 / 20, rel=0.01)
    free = change(llm={"budget": {"money": 5}, "prices": {}})
    (cap,) = plan_for(free, measured).caps
    assert cap.verdict == UNKNOWN
    assert any("no price is known for m" in note for note in plan_for(free, measured).notes)


def test_shipped_means_say_that_they_are_assumed_and_how_to_measure() -> None:
    plan = answer(SHIPPED, CONFIG)
    assert not plan.measured
    assert any("plan --from RUN" in note for note in plan.notes)
    assert {role.role for role in plan.roles} == {*ROLES, "all"}
    assert plan.workload.turns == Range(low=1, mean=3, high=5)
    assert answer(SHIPPED, RunConfig.model_validate({"masking": {"limit": 5}})).notes == (
        "no role of this configuration asks a language model: it costs machine time only",
    )


def test_without_a_limit_tasks_are_derived_from_the_source_size() -> None:
    means = find_means(SHIPPED)
    assert means.harvest
    unlimited = change(masking={"limit": None})
    guess = plan_workload(unlimited, means, 10 * means.harvest.source_bytes)
    assert guess.tasks == pytest.approx(10 * means.harvest.passages * means.harvest.tasks_per_passage, rel=0.01)
    assert "guess" in guess.known_from
    with pytest.raises(ConfigError, match="not known"):
        plan_workload(unlimited, means, None)


def test_saved_means_are_read_back_and_other_files_are_refused(measured: Means, tmp_path: Path) -> None:
    saved = tmp_path / "means.json"
    saved.write_text(measured.model_dump_json())
    assert find_means(PlanQuestion(saved, None, None, Path(), 2)) == measured
    saved.write_text("planner: 3")
    with pytest.raises(ConfigError, match="means"):
        find_means(PlanQuestion(saved, None, None, Path(), 2))


def test_a_run_without_calls_measures_nothing() -> None:
    with pytest.raises(ConfigError, match="no language model"):
        measure_run("demo", make_record().model_copy(update={"config": CONFIG.model_dump(mode="json")}), [], [])


def test_plan_is_compared_with_spending(measured: Means) -> None:
    sums = {"prompt_tokens": 10, "completion_tokens": 5, "cost": 0.5, "seconds": 1.0}
    spent = [RoleSpending(role=role, model="m", calls=3, **sums) for role in ("planner", "extractor")]
    rows = {(row.role, row.quantity): row for row in compare_spending(plan_for(CONFIG, measured), spent, 7200.0)}
    planned = rows["planner", "calls"].planned
    assert planned
    assert planned.mean == pytest.approx(sum(TURNS))
    assert rows["planner", "calls"].actual == 3
    assert rows["extractor", "calls"].planned is None
    assert rows["judge", "calls"].actual == 0
    assert rows["all", "money"].actual == 1.0
    assert rows["all", "hours at that pace"].actual == 2.0


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.integers(1, 5)), min_size=1))
def test_spread_agrees_with_the_textbook(seen: list[tuple[float, int]]) -> None:
    values = [value for value, times in seen for _ in range(times)]
    spread = Spread()
    for value, times in seen:
        spread.add(value, times)
    mean = sum(values) / len(values)
    assert spread.mean == pytest.approx(mean, abs=1e-3)
    assert spread.squares == pytest.approx(sum((value - mean) ** 2 for value in values), rel=1e-6, abs=1e-3)


def test_kinds_never_seen_fall_back_on_all() -> None:
    cells = (TurnCounts(attempts=(0, 1, 1)),)
    means = find_means(SHIPPED).model_copy(update={"turns": cells, "measured": True})
    assert expect_turns(means, (3,), (HideMode.PAGE,), 5).mean == 1.5
