"""Who is told how a run goes: a webhook and Prometheus. Neither ever holds a run up, and no secret leaves."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from flows.configuration.run_context import RunContext
from flows.monitoring.prometheus import RunMetrics, expose_metrics
from flows.monitoring.run_events import open_notifier, watch_run
from flows.monitoring.webhook import Event, Notifier
from pipeline.errors import ConfigError, StorageError
from pipeline.storage.run_folder import RunFolder
from schemas.config import RunConfig
from schemas.funnel import FunnelStep
from schemas.live import CallsLive, StageLive
from schemas.watch_config import WatchConfig
from tests.support.command_line import rampforge
from tests.support.sample_dump import write_dump
from tests.support.scripted_http import Said, ScriptedHttp

CALLS = CallsLive(
    in_flight=3,
    waiting=1,
    answered=40,
    rate=2.5,
    fault_share=0.1,
    prompt_tokens=400,
    completion_tokens=200,
    prompt_rate=25.0,
    completion_rate=12.5,
    stage_cost=0.02,
    cost=0.5,
    cost_cap=None,
    tokens=600,
    token_cap=None,
    stalled=("here",),
)
LIVE = StageLive(
    run="r",
    stage="trajectories",
    unit="task",
    pid=1,
    at=1.0,
    seconds=10.0,
    total=100,
    done=40,
    done_now=20,
    rate=2.0,
    accepted_share=0.5,
    seconds_left=30.0,
    shards=2,
    calls=CALLS,
)


def make_place(folder: Path, **config: object) -> RunContext:
    (folder / "r").mkdir()
    return RunContext(RunFolder(folder / "r"), RunConfig.model_validate(config), folder)


def read_metrics(text: str) -> dict[str, float]:
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {f"{s.name} {s.labels.get('stage')} {s.labels.get('reason', '')}".strip(): s.value for s in samples}


def test_prometheus_metrics_of_rows_calls_cost_stalls_and_rejects(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    metrics, file = RunMetrics("r"), tmp_path / "new" / "rampforge.prom"
    metrics.note(LIVE)
    metrics.note_stall("trajectories")
    metrics.note_funnel((FunnelStep(stage="chunk", unit="document", entered=9, passed=7, rejected={"too_short": 2}),))
    with expose_metrics(metrics, WatchConfig(metrics_port=port, metrics_file=str(file))):
        told = read_metrics(httpx.get(f"http://127.0.0.1:{port}/metrics").text)
        with (
            pytest.raises(ConfigError, match=r"watch\.metrics_port"),
            expose_metrics(metrics, WatchConfig(metrics_port=port)),
        ):
            pass
    assert told == read_metrics(file.read_text()), "the file says the same"
    assert told["rampforge_rows_total trajectories"] == 40
    assert told["rampforge_rows_per_second trajectories"] == 2
    assert told["rampforge_calls_total trajectories"] == 40
    assert told["rampforge_completion_tokens_total trajectories"] == 200
    assert told["rampforge_run_cost trajectories"] == 0.5
    assert told["rampforge_stalls_total trajectories"] == 1
    assert told["rampforge_endpoints_stalled trajectories"] == 1
    assert told["rampforge_rejected chunk too_short"] == 2
    assert "rampforge_run_cost_cap trajectories" not in told, "there is no cap"
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/metrics")


def test_a_file_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with expose_metrics(RunMetrics("r"), WatchConfig(metrics_file=str(tmp_path / "file" / "x.prom"))):
        pass


def tell_webhook(
    context: RunContext, error: BaseException | None, monkeypatch: pytest.MonkeyPatch, status: int = 200
) -> list[dict[str, object]]:
    """What a webhook hears of a session that ends so."""
    with ScriptedHttp(lambda request, body, before: Said(status)) as receiver:
        monkeypatch.setenv("RAMPFORGE_WEBHOOK", f"{receiver.url}/secret-path")
        monkeypatch.setenv("MY_KEY", "sk-0123456789")
        with pytest.raises(type(error)) if error else nullcontext(), watch_run(context) as watch:
            watch.note(LIVE)
            watch.note_stall("trajectories", "trajectories: no reply from here for 21 s")
            if error:
                raise error
        return [json.loads(body) for body in receiver.asked]


def test_a_webhook_receives_stalls_and_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = make_place(tmp_path)
    stalled, finished = tell_webhook(context, None, monkeypatch)
    assert (stalled["event"], stalled["stage"], stalled["run"]) == ("stalled", "trajectories", "r")
    assert stalled["what"] == "trajectories: no reply from here for 21 s"
    assert (finished["event"], finished["cost"]) == ("finished", 0.0)
    _, stopped = tell_webhook(context, KeyboardInterrupt(), monkeypatch)
    assert (stopped["event"], stopped["fix"]) == ("stopped", f"rampforge resume {context.run.location}")


def test_no_secret_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    llm = {"endpoints": {"api": {"url": "http://127.0.0.1:9/v1", "key": "MY_KEY"}}}
    error = StorageError("sk-0123456789 was refused by http://me:word@host/v1", "set MY_KEY")
    _, failed = tell_webhook(make_place(tmp_path, llm=llm), error, monkeypatch)
    assert failed["what"] == "*** was refused by http://***@host/v1"
    assert failed["fix"] == "set MY_KEY"
    assert "secret-path" not in json.dumps(failed)


def test_a_webhook_that_refuses_or_hangs_costs_seconds(caplog: pytest.LogCaptureFixture) -> None:
    with ScriptedHttp(lambda request, body, before: Said(500 if before == 0 else 200)) as receiver:
        notifier = Notifier(f"{receiver.url}/secret-path")
        notifier.tell(Event.FAILED, {})
        notifier.close()
        assert len(receiver.asked) == 2, "it is tried again"
    with ScriptedHttp(lambda request, body, before: Said(how="hang")) as receiver:
        started = time.monotonic()
        notifier = Notifier(receiver.url)
        notifier.tell(Event.FINISHED, {})
        notifier.close()
        assert time.monotonic() - started < 30
    assert "secret-path" not in caplog.text


def test_a_variable_that_holds_no_url_is_refused_without_showing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAMPFORGE_WEBHOOK", raising=False)
    assert open_notifier(RunConfig()) is None
    monkeypatch.setenv("RAMPFORGE_WEBHOOK", "hooks.example/T0/secret")
    with pytest.raises(ConfigError) as raised:
        open_notifier(RunConfig())
    assert "secret" not in str(raised.value)


def test_a_run_notifies_both_and_logs_json(prefect_server: Mapping[str, str], tmp_path: Path) -> None:
    """Through the command line: standard error is JSON lines that name run, stage and shard."""
    light = ["masking.ner=null", "masking.scorer=null", "masking.selection=random", "execution.workers=1"]
    words = [word for setting in [*light, f"watch.metrics_file={tmp_path / 'run.prom'}"] for word in ("--set", setting)]
    dump = str(write_dump(tmp_path / "towns.xml.bz2", towns=6))
    with ScriptedHttp(lambda request, body, before: Said()) as receiver:
        environment = {**prefect_server, "RAMPFORGE_WEBHOOK": receiver.url}
        context = ["--out", str(tmp_path), "--name", "run", *words]
        code, output = rampforge(environment, "--log-format", "json", "run", dump, *context)
        assert code == 0, output
        assert read_metrics((tmp_path / "run.prom").read_text())["rampforge_rows_total judgements"] > 0
        code, refused = rampforge(environment, "--log-format", "json", "run", dump, *context, "--set", "search.k=9")
        assert code == 1
        events = [json.loads(body)["event"] for body in receiver.asked]
    lines = [json.loads(line) for line in [*output.splitlines(), *refused.splitlines()]]
    finished = [line for line in lines if line["message"].startswith("finished: ")]
    assert {"spans", "judgements"} <= {line["stage"] for line in finished}
    assert {(line["run"], line["shard"], line["level"]) for line in finished} == {("run", "000-00000", "INFO")}
    assert "search.k was 3, now 9" in " ".join(line["message"] for line in lines)
    assert events == ["finished", "failed"]
