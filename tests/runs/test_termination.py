"""SIGTERM, as supervisors send it, is Ctrl-C: calls in flight are kept, and the run says how to go on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.runs.test_llm_interruption import count_calls, list_words, wait_for_calls
from tests.runs.test_llm_run import answer
from tests.support.command_line import rampforge, start
from tests.support.fault_server import FaultServer


def test_sigterm_keeps_what_is_in_flight(prefect_server: Mapping[str, str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    with FaultServer(latency=1.0) as server:
        server.answer = answer
        process = start(prefect_server, *list_words(tmp_path, server.url))
        wait_for_calls(server, process, answered=12)
        process.terminate()  # the process alone, not its workers
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 130, output
        assert f"`rampforge resume {run}`" in output
        assert "Traceback" not in output
        asked = sum(server.asked.values())
        assert sum(server.answered.values()) == asked == count_calls(run) > 12
        server.latency = 0.0
        code, output = rampforge(prefect_server, "resume", str(run))
        assert code == 0, output
        assert server.asked.most_common(1)[0][1] == 1, "no call is paid for twice"
