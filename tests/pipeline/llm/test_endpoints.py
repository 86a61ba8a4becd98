"""The chat model against a real HTTP server that misbehaves: what passes is repeated, what cannot pass is named."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from dataclasses import replace
from typing import Any

import pytest

from pipeline.errors import ConfigError
from pipeline.llm.chat_model import ChatReply, ChatRequest, EndpointError, NoReplyError, RefusedRequestError
from pipeline.llm.openai_chat_model import OpenAiChatModel
from schemas.llm_config import EndpointConfig, LimitsConfig, LlmConfig, RoleModelConfig, Unanswered
from tests.support.fault_server import FaultServer, prompt_of
from tests.support.scripted_model import make_request

QUICK = LimitsConfig(deadline=2, min_deadline=0.3, tries=8, max_wait=0.2, give_up=3)


def make_config(*urls: str, limits: LimitsConfig = QUICK, **endpoint: Any) -> LlmConfig:
    endpoints = {f"server{i}": EndpointConfig(url=url, **endpoint) for i, url in enumerate(urls)}
    return LlmConfig(endpoints=endpoints, roles={"default": RoleModelConfig(model="mock")}, limits=limits)


def ask_all(config: LlmConfig, requests: list[ChatRequest], keys: dict[str, str] | None = None) -> list[Any]:
    """Replies and errors, in the order of the requests."""

    async def run() -> list[Any]:
        model = OpenAiChatModel(config, keys or {})
        try:
            return await asyncio.gather(*(model.ask(request) for request in requests), return_exceptions=True)
        finally:
            await model.close()

    return asyncio.run(run())


def number(count: int) -> list[ChatRequest]:
    return [make_request(f"q{i}") for i in range(count)]


@pytest.mark.parametrize("fault", ["500", "429 soon", "reset", "malformed", "hang"])
def test_faults_that_pass_cost_no_request(fault: str) -> None:
    with FaultServer(lambda body, count: fault if count == 1 else "ok") as server:
        limits = QUICK.model_copy(update={"deadline": 0.5})
        replies = ask_all(make_config(server.url, limits=limits), number(6))
    assert [reply.text for reply in replies] == [f"echo q{i}" for i in range(6)]
    assert set(server.asked.values()) == {2}


def test_mixed_faults_lose_nothing() -> None:
    def cue(body: dict[str, Any], count: int) -> str:
        dice = random.Random(f"{prompt_of(body)} {count}").random()
        return ["500", "429 soon", "reset", "malformed"][int(dice * 20)] if dice < 0.2 else "ok"

    with FaultServer(cue, latency=0.005) as server:
        # None of these faults is a silence: a machine that stands still for a while must not look like one.
        limits = QUICK.model_copy(update={"deadline": 60, "min_deadline": 60})
        replies = ask_all(make_config(server.url, limits=limits, max_in_flight=32), number(200))
    assert [reply.text for reply in replies] == [f"echo q{i}" for i in range(200)]
    assert server.most_in_flight <= 32
    assert max(server.answered.values()) == 1


def test_retry_after_is_honoured() -> None:
    with FaultServer(lambda body, count: "429" if count == 1 else "ok") as server:
        started = time.monotonic()
        ask_all(make_config(server.url), number(1))
    assert 1.0 <= time.monotonic() - started < 2.0


def test_wrong_key_stops_everything_at_once_and_is_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with FaultServer(lambda body, count: "401") as server:
        config = make_config(server.url, key="MY_KEY", max_in_flight=4)
        errors = ask_all(config, number(50), {"MY_KEY": "sk-secret-0123456789"})
    assert all(isinstance(error, EndpointError) for error in errors)
    assert sum(server.asked.values()) <= 4
    assert "secret" not in str(errors) + caplog.text


def test_key_that_is_not_set_is_named() -> None:
    with pytest.raises(ConfigError, match="MY_KEY"):
        OpenAiChatModel(make_config("http://127.0.0.1:1/v1", key="MY_KEY"), {})


@pytest.mark.parametrize(("fault", "said"), [("404", "no model mock"), ("unpaid", "no credit")])
def test_unusable_endpoints_are_named(fault: str, said: str) -> None:
    with FaultServer(lambda body, count: fault) as server:
        errors = ask_all(make_config(server.url, max_in_flight=1), number(5))
    assert all(isinstance(error, EndpointError) and said in error.what for error in errors)
    assert sum(server.asked.values()) == 1


@pytest.mark.parametrize(
    ("fault", "reason"), [("overflow", "context_overflow"), ("filter", "content_filter"), ("wrong", "bad_request")]
)
def test_refused_requests_are_asked_once_and_have_a_reason(fault: str, reason: str) -> None:
    with FaultServer(lambda body, count: fault if prompt_of(body) == "q1" else "ok") as server:
        ends = ask_all(make_config(server.url), number(3))
    assert isinstance(ends[1], RefusedRequestError)
    assert ends[1].reason == reason
    assert [ends[0].text, ends[2].text] == ["echo q0", "echo q2"]
    assert server.asked["q1"] == 1


def test_server_that_takes_no_request_of_ours_stops_the_run() -> None:
    with FaultServer(lambda body, count: "wrong") as server:
        errors = ask_all(make_config(server.url, max_in_flight=2), number(60))
    assert isinstance(errors[-1], EndpointError)
    assert sum(server.asked.values()) <= 22


@pytest.mark.parametrize(("unanswered", "kind"), [("owe", NoReplyError), ("reject", RefusedRequestError)])
def test_request_that_always_fails_is_owed_or_given_up_and_the_rest_goes_on(
    unanswered: str, kind: type[Exception]
) -> None:
    with FaultServer(lambda body, count: "500" if prompt_of(body) == "q3" else "ok", latency=0.01) as server:
        limits = QUICK.model_copy(update={"tries": 3, "unanswered": Unanswered(unanswered)})
        ends = ask_all(make_config(server.url, limits=limits), number(6))
    assert type(ends[3]) is kind
    assert "no reply after 3 tries" in str(ends[3])
    assert server.asked["q3"] == 3
    assert sum(isinstance(end, ChatReply) for end in ends) == 5


def test_server_that_is_not_there_is_one_clear_error() -> None:
    errors = ask_all(make_config("http://127.0.0.1:9/v1", limits=QUICK.model_copy(update={"tries": 100})), number(20))
    assert all(isinstance(error, EndpointError) and "no answer" in error.what for error in errors)


def test_hung_server_comes_back() -> None:
    """All requests hang for a second: the endpoint is left alone, tried, and driven again."""
    until = time.monotonic() + 1.0
    with FaultServer(lambda body, count: "hang" if time.monotonic() < until else "ok") as server:
        limits = QUICK.model_copy(update={"deadline": 0.4, "give_up": 60})
        replies = ask_all(make_config(server.url, limits=limits), number(60))
    assert [reply.text for reply in replies] == [f"echo q{i}" for i in range(60)]


def test_two_endpoints_share_the_load_and_one_may_die() -> None:
    with FaultServer(latency=0.02) as first, FaultServer(lambda body, count: "reset", latency=0.02) as second:
        replies = ask_all(make_config(first.url, second.url, max_in_flight=8), number(120))
    assert [reply.text for reply in replies] == [f"echo q{i}" for i in range(120)]
    assert sum(second.asked.values()) < 40


@pytest.mark.parametrize(("taken", "tried"), [("json_object", 2), (None, 3)])
def test_a_refused_schema_falls_back_to_the_next_mode_and_stays_there(taken: str | None, tried: int) -> None:
    def find_mode(body: dict[str, Any]) -> str | None:
        return body["response_format"]["type"] if "response_format" in body else None

    with FaultServer(lambda body, count: "ok" if find_mode(body) == taken else "no schema") as server:

        async def run() -> list[str]:
            model = OpenAiChatModel(make_config(server.url), {})
            texts = [(await model.ask(replace(make_request(q), schema={"type": "object"}))).text for q in ("q0", "q1")]
            await model.close()
            return texts

        assert asyncio.run(run()) == ["echo q0", "echo q1"]
    assert list(map(find_mode, server.bodies)) == [*["json_schema", "json_object", None][:tried], taken]


def test_queue_of_the_server_is_read_and_relieved() -> None:
    async def run(config: LlmConfig) -> int:
        model = OpenAiChatModel(config, {})
        await asyncio.gather(*(model.ask(request) for request in number(600)))
        await model.close()
        return model.endpoints[0].flow.limit

    with FaultServer(latency=0.01) as server:
        assert asyncio.run(run(make_config(server.url, max_in_flight=64))) == 64
        for gauge in ('vllm:num_requests_waiting{engine="0",model_name="mock"} 40.0', "llamacpp:requests_deferred 40"):
            server.metrics = f"# HELP x\n{gauge}\n"
            assert asyncio.run(run(make_config(server.url, max_in_flight=64))) < 48
        assert asyncio.run(run(make_config(server.url, max_in_flight=64, metrics=False))) == 64


def test_a_model_serves_one_event_loop_after_another() -> None:
    """A stage runs each shard in a loop of its own; what was learnt about the endpoint stays."""
    with FaultServer() as server:
        model = OpenAiChatModel(make_config(server.url), {})

        async def ask() -> str:
            reply = await model.ask(make_request("q"))
            model.stop()
            await model.close()
            return reply.text

        assert [asyncio.run(ask()) for _ in range(3)] == ["echo q"] * 3
