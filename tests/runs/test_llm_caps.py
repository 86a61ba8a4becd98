"""Caps on tokens, money and time over a real HTTP server: one clear line, nothing lost, a higher cap goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.runs.test_llm_run import LIGHT, answer
from tests.support.command_line import rampforge
from tests.support.fault_server import FaultServer
from tests.support.sample_dump import write_dump

PRICE = "llm.prices={m: {prompt: 1000, completion: 1000}}"
"""A call of the server is 15 tokens: 0.015."""


def start_words(tmp_path: Path, name: str, server: FaultServer, *settings: str) -> list[str]:
    dump = tmp_path / "towns.xml.bz2"
    if not dump.exists():
        write_dump(dump, towns=10)
    roles = [*LIGHT, "agents.policy=agents", "judging.judge=llm", 'llm.roles={default: {model: "m"}}', PRICE]
    here = f'llm.endpoints={{local: {{url: "{server.url}"}}}}'
    words = [word for setting in (*roles, here, *settings) for word in ("--set", setting)]
    return ["run", str(dump), "--out", str(tmp_path), "--name", name, *words]


def digest_rows(run: Path) -> dict[str, str]:
    paths = [path for name in ("trajectories", "judgements", "rejects") for path in sorted((run / name).glob("*"))]
    return {f"{path.parent.name}/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def read_refusal(output: str) -> tuple[str, str]:
    """The one line that says what is wrong, and the one that says how to go on."""
    assert "Traceback" not in output
    (what,) = [line for line in output.splitlines() if line.startswith("error:")]
    (fix,) = [line for line in output.splitlines() if line.startswith("next:")]
    return what, fix


def check_plan_gives_back_what_was_measured(environment: Mapping[str, str], run: Path) -> None:
    code, output = rampforge(environment, "plan", "--from", str(run), "--compare", str(run), "--json")
    assert code == 0, output
    rows = [row for row in json.loads(output)["compared"] if not row["quantity"].startswith("hours")]
    assert {row["role"] for row in rows} >= {"planner", "rewriter", "observer", "all"}
    for row in rows:
        assert row["planned"]["mean"] == pytest.approx(row["actual"]), row


def test_each_cap_stops_with_one_line_and_a_higher_one_goes_on(
    prefect_server: Mapping[str, str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    with FaultServer() as server:
        server.answer = answer
        code, output = rampforge(
            prefect_server, *start_words(tmp_path, "run", server, "llm.budget.tokens=200", "llm.in_flight=2")
        )
        for cap, most, then in (
            ("tokens", 200 // 15, ("tokens=100000", "money=0.4")),
            ("money", 400 // 15, ("money=100", "hours=0.000001")),
            ("hours", 400 // 15 + 4, ("hours=1",)),  # a token of each role is asked at the start of a session
        ):
            assert code == 1, output
            what, fix = read_refusal(output)
            assert f"llm.budget.{cap}: the cap" in what
            assert f"rampforge resume {run}" in fix
            paid = sum(server.answered.values()) + len(server.probes)
            assert most - 2 <= paid <= most, "two calls are in flight at the most"
            assert len((run / "calls" / "usage.jsonl").read_text().splitlines()) == paid
            raised = [word for cap in then for word in ("--set", f"llm.budget.{cap}")]
            code, output = rampforge(prefect_server, "resume", str(run), *raised)
        assert code == 0, output
        assert set(server.answered.values()) == {1}, "nothing was paid for twice"
        record = json.loads((run / "run.json").read_bytes())
        assert record["tokens"] == 15 * (sum(server.answered.values()) + len(server.probes))
        assert record["cost"] == pytest.approx(record["tokens"] / 1000)
        check_plan_gives_back_what_was_measured(prefect_server, run)
        code, output = rampforge(prefect_server, *start_words(tmp_path, "whole", server))
        assert code == 0, output
    assert digest_rows(run) == digest_rows(tmp_path / "whole")


def test_a_money_cap_without_a_price_is_refused_before_anything_is_made(
    prefect_server: Mapping[str, str], tmp_path: Path
) -> None:
    with FaultServer() as server:
        words = start_words(tmp_path, "run", server, "llm.budget.money=1", "llm.prices={}")
        code, output = rampforge(prefect_server, *words)
        assert code == 1
        assert "no price is known for m" in output
        assert "llm.prices" in output
        assert not server.asked
    assert not (tmp_path / "run").exists()
