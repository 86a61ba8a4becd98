"""The job with a trained model behind a real HTTP server: tokens kept, calls paid for once, wrong servers refused."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tests.runs.test_llm_run import LIGHT
from tests.support.command_line import rampforge, start
from tests.support.sample_dump import write_dump
from tests.support.scripted_http import Said
from tests.support.tiny_policies import RIGHT, PolicyHttp, in_turn, write_model

SAY = in_turn(*RIGHT)


def list_words(tmp_path: Path, url: str, *more: str) -> list[str]:
    dump, model = tmp_path / "towns.xml.bz2", tmp_path / "model"
    if not dump.exists():
        write_dump(dump, towns=10)
        write_model(model)
    settings = [
        *LIGHT,
        "agents.policy=policy",
        "policy.name=teacher-r1",
        f"policy.model={model}",
        "search.hide=[none]",
        "llm.roles={policy: {model: tiny}}",
        f'llm.endpoints={{local: {{url: "{url}/v1", max_in_flight: 4}}}}',
        *more,
    ]
    return ["run", str(dump), "--out", str(tmp_path), "--name", "run", *[w for s in settings for w in ("--set", s)]]


def read(tmp_path: Path, dataset: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(tmp_path / "run" / dataset).to_pylist()
    return rows


def count_prompts(server: PolicyHttp) -> Counter[str]:
    return Counter(json.dumps(body["prompt"]) for body in server.completed)


def test_a_policy_attempts_tasks_over_http(prefect_server: Mapping[str, str], tmp_path: Path) -> None:
    def fault(number: int) -> Said | None:
        return {0: Said(500), 3: Said(how="reset"), 5: Said(body=b'{"choices": [{"te')}.get(number)

    with PolicyHttp(SAY, fault) as server:
        words = list_words(tmp_path, server.url)
        code, output = rampforge(prefect_server, *words)
        assert code == 0, output
        rows, streams = read(tmp_path, "trajectories"), read(tmp_path, "streams")
        assert len(rows) == 12
        assert {row["policy"] for row in rows} == {"teacher-r1"}
        assert [row["trajectory_id"] for row in rows] == [row["trajectory_id"] for row in streams]
        assert {row["stop_reason"] for row in rows} <= {"answered", "malformed"}
        assert len(read(tmp_path, "judgements")) == 12
        body = server.completed[-1]
        assert body["stop"] == ["</search>", "</answer>"]
        assert body["return_token_ids"] is body["include_stop_str_in_output"] is True
        record = json.loads((tmp_path / "run" / "run.json").read_bytes())
        (spent,) = record["spending"]["roles"]
        assert (spent["role"], spent["model"], spent["calls"]) == ("policy", "tiny", server.answered)
        manifest = json.loads((tmp_path / "run" / "ledger" / "trajectories" / "manifest.json").read_bytes())
        assert {"policy weights", "policy tokenizer", "policy.rendering"} <= manifest["settings"].keys()
        answered = server.answered
        code, output = rampforge(prefect_server, *words, "--redo", "trajectories")
        assert code == 0, output
        assert server.answered == answered + 1, "made again, the stage asks for the token of the start alone"
        assert read(tmp_path, "streams") == streams


def test_after_kill_9_no_answered_call_is_repeated(prefect_server: Mapping[str, str], tmp_path: Path) -> None:
    with PolicyHttp(SAY, lambda number: None) as server:
        slow = server.script

        def script(*asked: Any) -> Said:
            time.sleep(0.1)  # one at a time: plenty are left when the run is killed
            return slow(*asked)

        server.script = script
        words = list_words(tmp_path, server.url)
        process = start(prefect_server, *words, session=True)
        deadline = time.monotonic() + 200
        while server.answered < 8 and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        lines = [line for path in (tmp_path / "run" / "calls").glob("trajectories/*.jsonl") for line in path.open()]
        kept = sum(line.endswith("\n") for line in lines)
        assert kept >= 4
        server.script = slow
        code, output = rampforge(prefect_server, "resume", str(tmp_path / "run"))
        assert code == 0, output
        asked = count_prompts(server)
        assert sum(asked.values()) - len(asked) <= 8 - kept + 4, "only what was in flight is asked again"
        assert max(asked.values()) <= 2
        assert len(read(tmp_path, "trajectories")) == 12
