"""Traces of calls, read back by a real receiver: one span a call, nested, none lost, and no key or content in them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from flows.configuration.run_context import RunContext
from flows.models import tracing as trace_export
from flows.models.chat_models import make_stage, open_model
from flows.models.tracing import check_tracing, trace_shard
from pipeline.errors import ConfigError
from pipeline.llm.chat_model import AllRefusedError, ChatReply, Message, RefusedRequestError, ToolCall
from pipeline.llm.tracing import describe_server, name_error, write_messages, write_reply
from pipeline.stage import Outcome
from pipeline.storage.run_folder import RunFolder
from schemas.config import RunConfig
from tests.runs.test_llm_interruption import list_words, wait_for_calls
from tests.runs.test_llm_run import answer
from tests.support.command_line import rampforge, start
from tests.support.fault_server import FaultServer, prompt_of
from tests.support.otlp_receiver import OtlpReceiver, read_attributes
from tests.support.scripted_model import make_request

KEY = "sk-0123456789abcdef"


class Item:
    def __init__(self, key: str) -> None:
        self.key = key


def run_stage(folder: Path, server: FaultServer, items: int, trace: object = True, **limits: float) -> RunContext:
    """A shard of items of two calls each."""
    llm = {
        "roles": {"default": {"model": "m"}},
        "endpoints": {"here": {"url": server.url, "key": "TEST_KEY"}},
        "limits": limits,
        "trace": trace,
    }
    context = RunContext(RunFolder(folder / "run"), RunConfig.model_validate({"llm": llm}), folder)
    model = open_model(context, "trajectories", "000")

    async def work(item: Item) -> Outcome:
        for step in range(2):
            with suppress(RefusedRequestError):
                await model.model.ask(make_request(f"secret {item.key} step {step}"))
        return Outcome(item.key, (), ())

    with trace_shard(context, "trajectories", "000"):
        outcomes = list(make_stage(context, work, model).run([Item(f"i{number}") for number in range(items)]))
    assert len(outcomes) == items
    return context


def test_one_span_a_call_nested_and_nothing_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", KEY)
    faults = {("secret i0 step 0", 1): "500", ("secret i1 step 1", 1): "429 soon"}
    with OtlpReceiver() as receiver, FaultServer(lambda b, n: faults.get((prompt_of(b), n), "ok")) as server:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.environment["OTEL_EXPORTER_OTLP_ENDPOINT"])
        run_stage(tmp_path, server, items=20)
        run_stage(tmp_path, server, items=20)  # answered by the journal: no calls, so no spans of any
    first, _ = shards = receiver.named("trajectories shard")
    calls, items = receiver.named("chat m"), receiver.named("trajectories item")
    assert (len(calls), len(items), len(shards)) == (40, 40, 2)
    ids = {item.span_id: read_attributes(item.attributes)["rampforge.item"] for item in items}
    for call in calls:
        told = read_attributes(call.attributes)
        assert told["rampforge.item"] == ids[call.parent_span_id]
        assert call.trace_id == first.trace_id
        assert told["gen_ai.operation.name"] == "chat"
        assert (told["gen_ai.request.model"], told["gen_ai.provider.name"]) == ("m", "openai")
        assert (told["gen_ai.usage.input_tokens"], told["gen_ai.usage.output_tokens"]) == (10, 5)
        assert told["gen_ai.response.finish_reasons"] == ["stop"]
        assert (told["server.address"], told["server.port"]) == ("127.0.0.1", server.port)
        assert (told["rampforge.run"], told["rampforge.stage"], told["rampforge.shard"]) == (
            "run",
            "trajectories",
            "000",
        )
        assert told["rampforge.role"] == "planner"
        assert told["rampforge.tries"] == 1 + len(call.events)
        assert "error.type" not in told
    events = [read_attributes(event.attributes) for call in calls for event in call.events]
    assert sorted((event["error.type"], event["rampforge.try"]) for event in events) == [("429", 1), ("500", 1)]
    assert receiver.resources[0]["service.name"] == "rampforge"
    assert KEY.encode() not in receiver.raw
    assert b"secret" not in receiver.raw
    assert b"echo" not in receiver.raw
    assert b"internal error" not in receiver.raw


def test_content_only_when_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", KEY)
    with OtlpReceiver() as receiver, FaultServer() as server:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.environment["OTEL_EXPORTER_OTLP_ENDPOINT"])
        run_stage(tmp_path, server, items=1, trace="content")
    said = sorted(read_attributes(call.attributes)["gen_ai.output.messages"] for call in receiver.named("chat"))
    assert json.loads(said[0])[0]["parts"] == [{"type": "text", "content": "echo secret i0 step 0"}]
    assert KEY.encode() not in receiver.raw


def test_failed_calls_are_named_by_their_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", KEY)
    with OtlpReceiver() as receiver, FaultServer(lambda body, count: "overflow") as server:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.environment["OTEL_EXPORTER_OTLP_ENDPOINT"])
        with pytest.raises(AllRefusedError):
            run_stage(tmp_path, server, items=3)
    errors = [read_attributes(call.attributes)["error.type"] for call in receiver.named("chat")]
    assert errors == ["context_overflow"] * len(errors)
    assert len(errors) >= 6
    assert {call.status.code for call in receiver.named("chat")} == {2}
    assert b"maximum context length" not in receiver.raw


def test_a_receiver_that_is_away_costs_no_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("TEST_KEY", KEY)
    with OtlpReceiver(status=400) as receiver, FaultServer() as server:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.environment["OTEL_EXPORTER_OTLP_ENDPOINT"])
        run_stage(tmp_path, server, items=600, min_deadline=60)  # a slow machine must not look like a silent server
        assert receiver.requests == 1, "it is left alone after that"
    assert sum(server.answered.values()) == 1200
    assert caplog.text.count("it is left alone") == 1


def test_what_is_missing_is_said_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    check_tracing(False, {})
    check_tracing(True, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"})
    with pytest.raises(ConfigError, match="OTEL_EXPORTER_OTLP_ENDPOINT"):
        check_tracing("content", {})
    monkeypatch.setattr(trace_export, "NEEDED", ("no_such_package.sdk",))
    with pytest.raises(ConfigError, match=r"rampforge\[trace\]"):
        check_tracing(True, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"})


def test_off_it_is_not_even_imported() -> None:
    code = "import flows.execution.shard, flows.models.chat_models, sys; print('pipeline.llm.tracing' in sys.modules, "
    code += "'opentelemetry.sdk' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"


def test_servers_and_errors_have_few_names() -> None:
    assert describe_server("https://user:secret@api.openai.com/v1") == {
        "server.address": "api.openai.com",
        "server.port": 443,
        "gen_ai.provider.name": "openai",
    }
    assert describe_server("https://x.openai.azure.com/v1")["gen_ai.provider.name"] == "azure.ai.openai"
    assert describe_server("http://10.0.0.1:8000/v1")["gen_ai.provider.name"] == "openai"
    assert name_error(TimeoutError("sk-secret")) == "timeout"
    assert name_error(asyncio.CancelledError()) == "CancelledError"
    call = ToolCall("c1", "search", "{}")
    written = json.loads(write_messages((Message("assistant", "", (call,)), Message("tool", "found", (), "c1"))))
    assert [part["type"] for message in written for part in message["parts"]] == ["tool_call", "tool_call_response"]
    (reply,) = json.loads(write_reply(ChatReply("yes", "hm", "stop", "m", 1, 1)))
    assert [part["type"] for part in reply["parts"]] == ["reasoning", "text"]


def test_a_whole_job_stopped_by_ctrl_c_sends_every_span(prefect_server: Mapping[str, str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    with OtlpReceiver() as receiver, FaultServer(latency=1.0) as server:
        server.answer = answer
        environment = {**prefect_server, **receiver.environment, "TEST_KEY": KEY}
        endpoint = f'llm.endpoints={{local: {{url: "{server.url}", key: TEST_KEY}}}}'
        words = [*list_words(tmp_path, server.url), "--set", "llm.trace=true", "--set", endpoint]
        process = start(environment, *words, session=True)
        wait_for_calls(server, process, answered=12)
        os.killpg(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 130, output
        assert len(receiver.named("chat m")) == sum(server.answered.values())
        assert len(receiver.named("trajectories shard")) == 1
        server.latency = 0.0
        code, output = rampforge(environment, "resume", str(run))
        assert code == 0, output
        assert len(receiver.named("chat m")) == sum(server.answered.values())
        assert KEY.encode() not in receiver.raw
        assert b"I look for the hidden fact" not in receiver.raw
