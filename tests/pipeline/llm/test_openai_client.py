"""The openai client as the judge of our own: both send the same body for a request and read the same reply from it."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.llm.chat_model import ChatReply, ChatRequest, EndpointError, Message, ToolCall
from pipeline.llm.openai_chat_model import OpenAiChatModel
from schemas.llm_config import EndpointConfig, LimitsConfig, LlmConfig, RoleModelConfig
from tests.support.fault_server import FaultServer

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}
TOOL = {"name": "search", "description": "Looks something up.", "parameters": SCHEMA}
CALL = {"id": "c1", "type": "function", "function": {"name": "search", "arguments": '{"a": 1}'}}

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
answers = st.fixed_dictionaries(
    {"content": texts.filter(lambda text: "think>" not in text)},
    optional={"tool_calls": st.just([CALL]), "finish_reason": st.sampled_from(["stop", "length", "tool_calls"])},
)


def ask_ours(url: str, request: ChatRequest, role: RoleModelConfig) -> ChatReply:
    async def run() -> ChatReply:
        limits = LimitsConfig(tries=1)
        model = OpenAiChatModel(
            LlmConfig(endpoints={"e": EndpointConfig(url=url)}, roles={"default": role}, limits=limits), {}
        )
        try:
            return await model.ask(request)
        finally:
            await model.close()

    return asyncio.run(run())


def ask_openai(url: str, **words: Any) -> Any:
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0) as client:
        return client.chat.completions.create(**words)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(prompt=texts, temperature=st.floats(0, 2), max_tokens=st.integers(2, 9999), top_p=st.none() | st.floats(0.1, 1))
def test_both_send_the_same_body(
    prompt: str, temperature: float, max_tokens: int, top_p: float | None, server: FaultServer
) -> None:
    turns = (
        Message("system", "Be brief."),
        Message("user", prompt),
        Message("assistant", "", (ToolCall("c1", "search", '{"a": 1}'),)),
        Message("tool", "nothing", answers="c1"),
    )
    request = ChatRequest(
        "judge", turns, temperature=temperature, max_tokens=max_tokens, stop=("###",), schema=SCHEMA, tools=(TOOL,)
    )
    ask_ours(server.url, request, RoleModelConfig(model="m", top_p=top_p, extra={"seed": 7}))
    form = {"name": "judge", "schema": SCHEMA, "strict": True}
    ask_openai(
        server.url,
        model="m",
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": prompt},
            {"role": "assistant", "content": "", "tool_calls": [CALL]},
            {"role": "tool", "content": "nothing", "tool_call_id": "c1"},
        ],
        temperature=temperature,
        max_tokens=max_tokens,
        stop=["###"],
        response_format={"type": "json_schema", "json_schema": form},
        tools=[{"type": "function", "function": TOOL}],
        **({} if top_p is None else {"top_p": top_p}),
        extra_body={"seed": 7},
    )
    ours, theirs = server.bodies[-2:]
    assert ours == theirs


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answer=answers)
def test_both_read_the_same_reply(answer: dict[str, Any], server: FaultServer) -> None:
    server.answer = lambda body: dict(answer)
    ours = ask_ours(server.url, ChatRequest("judge", (Message("user", "q"),)), RoleModelConfig(model="m"))
    theirs = ask_openai(server.url, model="m", messages=[{"role": "user", "content": "q"}])
    (choice,) = theirs.choices
    calls = [ToolCall(c.id, c.function.name, c.function.arguments) for c in choice.message.tool_calls or ()]
    assert (ours.text, ours.finish_reason, list(ours.tool_calls)) == (
        choice.message.content,
        choice.finish_reason,
        calls,
    )
    assert (ours.prompt_tokens, ours.completion_tokens) == (theirs.usage.prompt_tokens, theirs.usage.completion_tokens)


@pytest.mark.parametrize(("cue", "theirs"), [("401", openai.AuthenticationError), ("404", openai.NotFoundError)])
def test_both_refuse_what_cannot_be_used(cue: str, theirs: type[Exception]) -> None:
    with FaultServer(lambda body, count: cue) as server:
        with pytest.raises(EndpointError):
            ask_ours(server.url, ChatRequest("judge", (Message("user", "q"),)), RoleModelConfig(model="m"))
        with pytest.raises(theirs):
            ask_openai(server.url, model="m", messages=[{"role": "user", "content": "q"}])


@pytest.fixture(scope="module")
def server() -> Any:
    with FaultServer() as running:
        yield running
