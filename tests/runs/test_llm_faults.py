"""The job behind servers that answer rubbish, refuse, or judge otherwise than the rules: all is named and counted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipeline.storage.run_folder import RunFolder
from schemas.funnel import FunnelStep
from tests.support.command_line import rampforge
from tests.support.fault_server import FaultServer
from tests.support.sample_dump import write_dump

LIGHT = [
    "masking.ner=null",
    "masking.scorer=null",
    "masking.selection=random",
    "execution.workers=1",
    'llm.roles={default: {model: "m"}}',
]
AGENTS = ["agents.policy=agents", "masking.limit=40", "masking.mask_counts=[1]"]
AUDIT = ["judging.judge=llm", "judging.audit=1.0", "search.hide=[none]", "masking.limit=30"]
TRIES = 3


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    dump = write_dump(tmp_path / "towns.xml.bz2", towns=20)
    return ["run", str(dump), "--out", str(tmp_path), "--name", "run", *set_keys(*LIGHT)]


def set_keys(*settings: str) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


def name_endpoint(server: FaultServer) -> list[str]:
    return set_keys(f'llm.endpoints={{local: {{url: "{server.url}"}}}}')


def find_step(run: Path, stage: str, unit: str) -> FunnelStep:
    (step,) = [step for step in RunFolder(run).record().funnel if (step.stage, step.unit) == (stage, unit)]
    return step


def select(run: Path, query: str) -> list[tuple[Any, ...]]:
    return duckdb.connect().execute(query.replace("$", f"{run}/")).fetchall()


@pytest.mark.parametrize(
    ("cut", "said"),
    [
        ([], "none of the first 100 replies could be read"),
        (["corpus.pages_per_shard=11", "agents.attempts=3"], "no reply could be parsed for any of the first"),
    ],
)
def test_rubbish_is_named_warned_of_and_comes_to_an_end(
    cut: list[str], said: str, prefect_server: Mapping[str, str], words: list[str], tmp_path: Path
) -> None:
    with FaultServer() as server:
        server.answer = lambda body: {"content": "Well, you know."}
        code, output = rampforge(prefect_server, *words, *set_keys(*AGENTS, *cut), *name_endpoint(server))
    assert code == 0, output
    assert output.count(said) == 1
    step = find_step(tmp_path / "run", "trajectories", "trajectory")
    assert step.rejected == {"unreadable_reply": step.entered}
    assert len(server.bodies) == TRIES * step.entered == TRIES * (120 if cut else 40)
    assert select(tmp_path / "run", "SELECT count(*) FROM '$trajectories/*.parquet'") == [(0,)]


def test_overflow_and_filters_are_named_and_repeated_by_redo_only(
    prefect_server: Mapping[str, str], words: list[str], tmp_path: Path
) -> None:
    run = tmp_path / "run"

    def cue(body: dict[str, Any], count: int) -> str:
        return "ok" if body["max_tokens"] == 1 else ("ok", "filter", "overflow")[len(json.dumps(body)) % 3]

    with FaultServer(cue) as server:
        server.answer = lambda body: {"content": json.dumps({"think": "I stop.", "mask": 1, "give_up": True})}
        more = [*set_keys(*AGENTS), *name_endpoint(server)]
        code, output = rampforge(prefect_server, *words, *more)
        assert code == 0, output
        asked, refused = server.asked.copy(), server.asked - server.answered
        assert refused
        code, output = rampforge(prefect_server, *words, *more, "--redo", "trajectories")
        assert code == 0, output
        assert set(server.asked - asked) == set(refused), "what was answered is not asked again"
    step = find_step(run, "trajectories", "trajectory")
    assert set(step.rejected) == {"context_overflow", "content_filter"}
    assert 0 < sum(step.rejected.values()) < step.entered
    ((detail,),) = select(
        run,
        "SELECT any_value(detail) FROM '$rejects/*.parquet' WHERE reason = 'context_overflow' AND unit = 'trajectory'",
    )
    assert "maximum context length is 8192 tokens" in detail


@pytest.mark.parametrize("limit", [3, 40])
@pytest.mark.parametrize("fault", ["overflow", "wrong"])
def test_a_stage_that_is_refused_whole_fails_and_records_nothing(
    fault: str, limit: int, prefect_server: Mapping[str, str], words: list[str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    with FaultServer(lambda body, count: "ok" if body["max_tokens"] == 1 else fault) as server:
        settings = [*set_keys(*AGENTS, f"masking.limit={limit}", "corpus.pages_per_shard=7"), *name_endpoint(server)]
        code, output = rampforge(prefect_server, *words, *settings)
    assert code == 1
    assert "fault of rampforge" not in output
    assert RunFolder(run).find_manifest("trajectories") is None
    assert not [commit for commit in RunFolder(run).commits("trajectories") if commit.inputs]
    with FaultServer() as server:
        server.answer = lambda body: {"content": json.dumps({"think": "I stop.", "mask": 1, "give_up": True})}
        code, output = rampforge(prefect_server, "resume", str(run), *name_endpoint(server))
        assert code == 0, output
        assert len(server.bodies) == find_step(run, "trajectories", "trajectory").entered


def test_the_judge_is_compared_with_the_rules_in_the_report(
    prefect_server: Mapping[str, str], words: list[str], tmp_path: Path
) -> None:
    run = tmp_path / "run"

    def answer(body: dict[str, Any]) -> dict[str, Any]:
        verdict = "incorrect" if len(body["messages"][-1]["content"]) % 4 == 0 else "correct"
        return {"content": json.dumps({"reason": "so", "verdict": verdict})}

    with FaultServer() as server:
        server.answer = answer
        code, output = rampforge(prefect_server, *words, *set_keys(*AUDIT), *name_endpoint(server))
    assert code == 0, output
    step = find_step(run, "judgements", "audited_trajectory")
    ((right,),) = select(
        run, "SELECT count(*) FROM '$judgements/*.parquet' WHERE judge = 'rules' AND verdict = 'correct' AND format_ok"
    )
    assert step.compares
    assert step.entered == right > 20
    assert 0 < step.passed < right
    assert step.rejected == {"model_says_incorrect": right - step.passed}
    report = (run / "report.html").read_text()
    section = report[report.index('id="agreement"') : report.index('id="examples"')]
    assert "right by the rules: does the model say so too?" in section
    assert f"the model says incorrect {right - step.passed}" in section
    assert "audited_trajectory" not in report, "the funnel holds what passes or is dropped, nothing else"
