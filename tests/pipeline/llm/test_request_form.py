"""The form in which a server takes requests: known by model and configuration, learned from refusals of any wording."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from pipeline.llm.chat_model import ChatReply, RefusedParameterError, RefusedRequestError
from pipeline.llm.openai_chat_model import OpenAiChatModel
from pipeline.llm.request_form import ReplyFormat, RequestForm, make_form
from pipeline.llm.structured_output import Prompt, Sampling, StructuredOutput, TokenUsage
from prompts.replies import JUDGE, UnreadableReplyError
from schemas.llm_config import EndpointConfig, LimitsConfig, LlmConfig, RoleModelConfig
from tests.support.odd_replies import say
from tests.support.scripted_http import Said, ScriptedHttp
from tests.support.scripted_model import ScriptedModel, make_reply, make_request

Answer = Callable[[dict[str, Any]], str]
"""A refusal of a body, or an empty text for an answer."""


def ask(answer: Answer, count: int = 1, status: int = 400, role: Any = None, **endpoint: Any) -> tuple[Any, list[Any]]:
    """The last reply or error of so many requests with a schema, and the bodies sent."""

    def script(request: web.Request, body: bytes, number: int) -> Said:
        refusal = answer(json.loads(body))
        return Said(status, refusal.encode()) if refusal else Said(200, say("yes"))

    async def run(url: str) -> Any:
        config = LlmConfig(
            endpoints={"e": EndpointConfig(url=url, **endpoint)},
            roles={"default": role or RoleModelConfig(model="m")},
            limits=LimitsConfig(tries=1),
        )
        model = OpenAiChatModel(config, {})
        try:
            for number in range(count):
                request = replace(make_request(f"q{number}"), schema={"type": "object"})
                end = (await asyncio.gather(model.ask(request), return_exceptions=True))[0]
        finally:
            await model.close()
        return end

    with ScriptedHttp(script) as server:
        return asyncio.run(run(server.url)), [json.loads(body) for body in server.asked]


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        *((name, {"max_completion_tokens"}) for name in ("o1", "o3-mini", "openai/o4-mini", "gpt-5", "gpt-5.2-2026")),
        *((name, {"max_tokens", "temperature", "top_p"}) for name in ("gpt-4o", "gpt-5-chat", "Qwen3-8B", "foo/o30b")),
    ],
)
def test_families_that_take_other_parameters_are_known(model: str, parameters: set[str]) -> None:
    form = make_form(EndpointConfig(url="http://127.0.0.1:1"), RoleModelConfig(model=model))
    assert set(form.apply({"max_tokens": 5, "temperature": 0, "top_p": 1})) == parameters


def test_the_role_and_the_endpoint_override_the_family() -> None:
    endpoint = EndpointConfig(url="http://127.0.0.1:1", parameters={"seed": None, "max_tokens": "most"})
    form = make_form(endpoint, RoleModelConfig(model="gpt-5", temperature=1, extra={"top_p": 0.5}))
    sent = form.apply({"max_tokens": 5, "temperature": 1, "top_p": 0.5, "seed": 7})
    assert sent == {"most": 5, "temperature": 1, "top_p": 0.5}
    body = {"model": "m"}
    assert RequestForm().apply(body) is body


SCHEMA_REFUSALS = [
    (400, "response_format is not supported"),
    (400, 'Invalid JSON payload received. Unknown name "additionalProperties" at generation_config'),
    (400, "output_config: 'maxItems' is not supported"),
    (400, "Failed to generate JSON. (json_validate_failed)"),
    (400, "Grammar error: Unimplemented keys: uniqueItems"),
    (422, "guided decoding is disabled"),
    (400, "This server cannot do that."),
    (400, "参数错误"),
    (404, "No endpoints found that support structured outputs"),
    (500, "xgrammar: cannot compile"),
    (501, "not implemented"),
]


@pytest.mark.parametrize(("status", "refusal"), SCHEMA_REFUSALS)
@pytest.mark.parametrize("taken", ["json_object", None])
def test_a_schema_refused_in_any_words_falls_back(status: int, refusal: str, taken: str | None) -> None:
    def answer(body: dict[str, Any]) -> str:
        return "" if body.get("response_format", {}).get("type") == taken else refusal

    end, bodies = ask(answer, count=2, status=status)
    assert isinstance(end, ChatReply)
    assert len(bodies) == (3 if taken else 4)


def test_a_schema_refused_after_others_were_taken_costs_that_request_alone() -> None:
    def answer(body: dict[str, Any]) -> str:
        complex_one = body["messages"][-1]["content"] == "q1"
        return "the schema is too complex" if complex_one and "response_format" in body else ""

    end, bodies = ask(answer, count=3)
    assert isinstance(end, ChatReply)
    types = [body.get("response_format", {}).get("type") for body in bodies]
    assert types == ["json_schema", "json_schema", "json_object", None, "json_schema"]


def test_a_request_refused_in_every_form_is_the_items_fault() -> None:
    end, bodies = ask(lambda body: "This server cannot do that.")
    assert isinstance(end, RefusedRequestError)
    assert end.reason == "bad_request"
    assert len(bodies) == 3


@pytest.mark.parametrize("refusal", ["maximum context length is 8192 tokens", "content_filter"])
def test_a_refusal_for_another_cause_is_not_tried_in_other_forms(refusal: str) -> None:
    end, bodies = ask(lambda body: refusal)
    assert isinstance(end, RefusedRequestError)
    assert len(bodies) == 1


def test_the_name_of_the_cap_is_learned_either_way() -> None:
    new = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    end, bodies = ask(lambda body: new if "max_tokens" in body else "", count=2)
    assert isinstance(end, ChatReply)
    assert [body.get("max_completion_tokens") for body in bodies] == [None, 1024, 1024]
    old = "Unrecognized request argument supplied: max_completion_tokens"
    role = RoleModelConfig(model="gpt-5")
    end, bodies = ask(lambda body: old if "max_completion_tokens" in body else "", count=2, role=role)
    assert isinstance(end, ChatReply)
    assert [body.get("max_tokens") for body in bodies] == [None, 1024, 1024]


def test_a_server_that_takes_neither_name_of_the_cap_ends_in_bounded_time() -> None:
    end, bodies = ask(lambda body: f"{' and '.join(body)} are not supported; max_completion_tokens")
    assert isinstance(end, Exception)
    assert len(bodies) <= 8


def test_a_refused_temperature_is_left_out_by_configuration_alone() -> None:
    refusal = "Unsupported value: 'temperature' does not support 0.0 with this model. Only the default (1) value is."

    def answer(body: dict[str, Any]) -> str:
        return refusal if "temperature" in body else ""

    end, _ = ask(answer)
    assert isinstance(end, RefusedParameterError)
    assert "llm.endpoints.e.parameters={temperature: null}" in end.fix
    end, bodies = ask(answer, parameters={"temperature": None})
    assert isinstance(end, ChatReply)
    assert len(bodies) == 1


def test_the_plainest_format_is_the_last() -> None:
    body = {"response_format": {"type": "json_schema"}}
    assert RequestForm(reply_format=ReplyFormat.TEXT).apply(body) == {}


def judge(model: ScriptedModel, retries: int = 1) -> Any:
    async def run() -> Any:
        output = StructuredOutput(model, Sampling(0.0, 100, retries))
        return await output.ask(Prompt("judge", "en", "right?"), JUDGE, lambda reply: reply.verdict, TokenUsage())

    return asyncio.run(run())


def cut(text: str) -> ChatReply:
    return replace(make_reply(text), finish_reason="length")


def test_a_reply_cut_at_its_cap_is_asked_for_with_a_larger_one_once() -> None:
    whole = '{"reason": "r", "verdict": "correct"}'
    model = ScriptedModel(lambda request: whole if request.widening > 1 else cut(whole[:12]))
    assert judge(model, retries=0) == "correct"
    assert [request.widening for request in model.asked] == [1, 4]
    always_cut = ScriptedModel(lambda request: cut(whole[:12]))
    with pytest.raises(UnreadableReplyError):
        judge(always_cut)
    assert [request.widening for request in always_cut.asked] == [1, 4, 4]


def test_a_larger_cap_that_is_refused_leaves_the_item_as_it_was() -> None:
    def script(request: Any) -> Any:
        if request.widening > 1:
            return RefusedRequestError("context_overflow", "no room")
        return cut("{") if len(request.messages) == 1 else '{"verdict": "incorrect"}'

    model = ScriptedModel(script)
    assert judge(model) == "incorrect"
    assert [request.widening for request in model.asked] == [1, 4, 1]


def test_a_larger_cap_beyond_the_window_is_no_fault_of_the_configuration() -> None:
    refusal = "max_tokens=4096 cannot be greater than max_model_len=4096. Please request fewer output tokens."

    def script(request: web.Request, body: bytes, number: int) -> Said:
        sent = json.loads(body)
        return Said(200, say("yes")) if sent["max_tokens"] < 4096 else Said(400, refusal.encode())

    async def run(url: str) -> list[Any]:
        model = OpenAiChatModel(
            LlmConfig(endpoints={"e": EndpointConfig(url=url)}, roles={"default": RoleModelConfig(model="m")}), {}
        )
        requests = [make_request("q"), replace(make_request("q"), widening=4), make_request("q")]
        try:
            return [(await asyncio.gather(model.ask(one), return_exceptions=True))[0] for one in requests]
        finally:
            await model.close()

    with ScriptedHttp(script) as server:
        first, wider, last = asyncio.run(run(server.url))
    assert isinstance(wider, RefusedRequestError)
    assert wider.reason == "context_overflow"
    assert first.text == last.text == "yes"
