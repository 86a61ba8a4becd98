"""The job with agents and a judge behind a real HTTP server: calls are paid for once, whatever happens to the run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.support.command_line import rampforge
from tests.support.fault_server import FaultServer
from tests.support.sample_dump import write_dump

LIGHT = [
    "masking.ner=null",
    "masking.scorer=null",
    "masking.selection=random",
    "masking.limit=12",
    "execution.workers=1",
]
REPLIES: dict[str, dict[str, Any]] = {
    "give_up": {"think": "I look for the hidden fact.", "mask": 1, "give_up": False},
    "queries": {"queries": ["market town founded by", "stone bridge engineer", "annual fair September"]},
    "closing": {"conclusion": "Nothing here tells it.", "answers": [], "next": "give_up", "closing": "I do not know."},
    "verdict": {"reason": "It is not the same.", "verdict": "incorrect"},
}


def answer(body: dict[str, Any]) -> dict[str, Any]:
    """Plays each role by the schema that is asked for."""
    required = body["response_format"]["json_schema"]["schema"]["required"]
    (reply,) = [reply for key, reply in REPLIES.items() if key in required]
    return {"content": json.dumps(reply)}


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    dump = write_dump(tmp_path / "towns.xml.bz2", towns=10)
    settings = [*LIGHT, "agents.policy=agents", "judging.judge=llm", 'llm.roles={default: {model: "m"}}']
    return ["run", str(dump), "--out", str(tmp_path), "--name", "run", *[w for s in settings for w in ("--set", s)]]


def test_agents_and_judge_over_http(prefect_server: Mapping[str, str], words: list[str], tmp_path: Path) -> None:
    with FaultServer(lambda body, count: "500" if count == 1 else "ok") as server:
        server.answer = answer
        endpoint = ["--set", f'llm.endpoints={{local: {{url: "{server.url}"}}}}']
        code, output = rampforge(prefect_server, *words, *endpoint)
        assert code == 0, output
        rows = pq.read_table(tmp_path / "run" / "trajectories").to_pylist()
        assert len(rows) == 12
        assert {row["policy"] for row in rows} == {"agents"}
        assert {row["stop_reason"] for row in rows} == {"gave_up"}
        assert all(call["status"] in ("ok", "empty") for row in rows for turn in row["turns"] for call in turn["calls"])
        asked = sum(server.answered.values())
        record = json.loads((tmp_path / "run" / "run.json").read_bytes())
        assert record["tokens"] == 15 * (asked + 4), "a token of each role before the first page is counted too"
        assert [body["max_tokens"] for body in server.probes if "response_format" in body] == [1] * 5
        code, output = rampforge(prefect_server, *words, *endpoint, "--redo", "trajectories")
        assert code == 0, output
        assert sum(server.answered.values()) == asked, "made again, the stage asks for nothing that was answered"


def test_a_wrong_key_is_one_line_and_burns_nothing(
    prefect_server: Mapping[str, str], words: list[str], tmp_path: Path
) -> None:
    with FaultServer(lambda body, count: "401") as server:
        endpoint = ["--set", f'llm.endpoints={{local: {{url: "{server.url}"}}}}', "--set", "execution.retries=0"]
        code, output = rampforge(prefect_server, *words, *endpoint)
    assert code == 1
    assert "Traceback" not in output
    assert "error: " in output
    assert "sk-secret" not in output
    assert not (tmp_path / "run").exists(), "a refused start writes nothing"
    assert not server.asked
    assert len(server.probes) == 4, "no request is tried again"
