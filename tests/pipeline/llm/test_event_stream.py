"""Streamed replies: assembled as openai's own helper does, in pieces of any kind, and broken off by name."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from pipeline.http.errors import HttpStatusError, ThrottledError
from pipeline.llm.chat_model import ChatReply, EndpointError, ToolCall
from pipeline.llm.chat_protocol import MalformedReplyError, read_reply
from pipeline.llm.completions_protocol import read_completion_reply
from pipeline.llm.openai_chat_model import OpenAiChatModel
from schemas.llm_config import EndpointConfig, LimitsConfig, LlmConfig, RoleModelConfig
from tests.support.scripted_http import Said, ScriptedHttp
from tests.support.scripted_model import make_request

USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def write_events(chunks: Sequence[Any], done: bool = True, newline: str = "\n") -> bytes:
    lines = [f"data: {json.dumps(chunk)}{newline}{newline}" for chunk in chunks]
    return "".join([*lines, f"data: [DONE]{newline}{newline}" if done else ""]).encode()


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **more}


def read(content: bytes) -> ChatReply:
    return read_reply(content, "m", 40, ())


@given(
    pieces=st.lists(texts.filter(lambda text: "<" not in text), max_size=6),
    arguments=st.lists(texts, max_size=4),
    names=st.lists(st.sampled_from(["search", "open"]), max_size=3),
)
def test_a_stream_is_what_openai_assembles(pieces: list[str], arguments: list[str], names: list[str]) -> None:
    chunks = [chunk({"role": "assistant", "content": ""}), *(chunk({"content": piece}) for piece in pieces)]
    for index, name in enumerate(names):
        call = {"index": index, "id": f"c{index}", "type": "function", "function": {"name": name, "arguments": ""}}
        chunks.append(chunk({"tool_calls": [call]}))
        more = [{"index": index, "function": {"arguments": piece}} for piece in arguments]
        chunks += [chunk({"tool_calls": [piece]}) for piece in more]
    chunks += [chunk({}, "stop"), {**chunk({}), "choices": [], "usage": USAGE}]
    state: Any = ChatCompletionStreamState()
    for one in chunks:
        state.handle_chunk(ChatCompletionChunk.model_validate(one))
    whole = state.current_completion_snapshot
    ours = read(write_events(chunks))
    (choice,) = whole.choices
    calls = tuple(ToolCall(c.id, c.function.name, c.function.arguments) for c in choice.message.tool_calls or ())
    assert (ours.text, ours.finish_reason, ours.tool_calls) == (choice.message.content or "", "stop", calls)
    assert (ours.prompt_tokens, ours.completion_tokens) == (3, 4)


@pytest.mark.parametrize(
    ("deltas", "text", "reasoning"),
    [
        ([{"reasoning_content": "h"}, {"reasoning_content": "m"}, {"content": "yes"}], "yes", "hm"),
        (
            [{"reasoning": "h", "reasoning_details": [{"text": "h"}]}, {"reasoning": "m"}, {"content": "yes"}],
            "yes",
            "hm",
        ),
        ([{"reasoning_details": [{"type": "reasoning.text", "text": "hm"}]}, {"content": "yes"}], "yes", "hm"),
        ([{"content": [{"type": "thinking", "thinking": [{"text": "hm"}]}]}, {"content": "yes"}], "yes", "hm"),
        ([{"content": "<think>h"}, {"content": "m</think>"}, {"content": "yes"}], "yes", "hm"),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_reasoning_is_kept_apart_in_a_stream(deltas: list[Any], text: str, reasoning: str, newline: str) -> None:
    reply = read(write_events([*map(chunk, deltas), chunk({}, "stop", usage=USAGE)], newline=newline))
    assert (reply.text, reply.reasoning, reply.prompt_tokens) == (text, reasoning, 3)


def test_calls_without_an_index_are_told_apart_by_their_ids() -> None:
    calls = [
        {"id": "a", "function": {"name": "search", "arguments": '{"q":'}},
        {"function": {"arguments": "1}"}},
        {"id": "b", "function": {"name": "open", "arguments": {"u": 2}}},
    ]
    reply = read(write_events([*(chunk({"tool_calls": [call]}) for call in calls), chunk({}, "tool_calls")]))
    assert reply.tool_calls == (ToolCall("a", "search", '{"q":1}'), ToolCall("b", "open", '{"u":2}'))


def test_a_stream_without_usage_is_counted_by_its_text() -> None:
    reply = read(write_events([*(chunk({"content": "x" * 10}) for _ in range(40)), chunk({}, "stop")]))
    assert reply.completion_tokens == 100


def test_a_completion_may_be_streamed() -> None:
    pieces = [{"index": 0, "text": "ye", "token_ids": [1]}, {"index": 0, "text": "s", "token_ids": [2, 3]}]
    content = write_events([{"choices": [piece]} for piece in pieces])
    reply = read_completion_reply(content, "m", 3)
    assert (reply.text, reply.token_ids) == ("yes", (1, 2, 3))


@pytest.mark.parametrize(
    "content",
    [
        write_events([chunk({"content": "half"})], done=False),
        write_events([chunk({"content": "half"})], done=False)[:-30],
        b"data: not json\n\n",
        b"data: 5\n\ndata: [DONE]\n\n",
        b"data: [DONE]\n\n",
        b": ping\n\n",
        b'data: {"choices": [{"delta": 5}]}\n\ndata: [DONE]\n\n',
    ],
)
def test_a_stream_that_ends_early_or_is_none_is_malformed(content: bytes) -> None:
    with pytest.raises(MalformedReplyError):
        read(content)


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (write_events([chunk({"content": "a"}), {"error": {"message": "Rate limit exceeded", "code": 429}}]), 429),
        (b'event: error\ndata: {"message": "Insufficient credits", "code": 402}\n\n', 402),
        (write_events([{"object": "error", "message": "aborted", "code": 500}]), 500),
        (write_events([chunk({"content": "a"}), chunk({}, "error", error={"message": "x", "code": 502})]), 502),
        (write_events([chunk({"content": "a"}), chunk({}, "abort")]), 200),
    ],
)
def test_an_error_in_a_stream_is_the_error_of_the_reply(content: bytes, status: int) -> None:
    with pytest.raises(HttpStatusError) as caught:
        read(content)
    assert caught.value.status == status
    assert isinstance(caught.value, ThrottledError) == (status == 429)


def ask(server: ScriptedHttp, **endpoint: Any) -> Any:
    async def run() -> Any:
        config = LlmConfig(
            endpoints={"here": EndpointConfig(url=f"{server.url}/v1", **endpoint)},
            roles={"default": RoleModelConfig(model="m")},
            limits=LimitsConfig(tries=2, max_wait=0.01),
        )
        model = OpenAiChatModel(config, {})
        try:
            return [(await model.ask(make_request(q))).text for q in ("q0", "q1")]
        finally:
            await model.close()

    return asyncio.run(run())


SSE = {"content-type": "text/event-stream"}
STREAM = write_events([chunk({"content": "y"}), chunk({"content": "es"}, "stop", usage=USAGE)])


@pytest.mark.parametrize(
    "refusal", ["This model only supports streaming", "stream must be true", "Non-streaming is not supported"]
)
def test_a_server_that_only_streams_is_asked_for_streams(refusal: str) -> None:
    def script(request: web.Request, body: bytes, number: int) -> Said:
        sent = json.loads(body)
        if not sent.get("stream"):
            return Said(400, json.dumps({"error": {"message": refusal}}).encode())
        assert sent["stream_options"] == {"include_usage": True}
        return Said(200, STREAM, SSE)

    with ScriptedHttp(script) as server:
        assert ask(server) == ["yes", "yes"]
        assert [b'"stream"' in body for body in server.asked] == [False, True, True]


def test_a_stream_may_be_asked_for_and_its_options_refused() -> None:
    def script(request: web.Request, body: bytes, number: int) -> Said:
        if b"stream_options" in body:
            return Said(400, b"Unrecognized request argument supplied: stream_options")
        return Said(200, STREAM, SSE)

    with ScriptedHttp(script) as server:
        assert ask(server, stream=True) == ["yes", "yes"]
        assert [b"stream_options" in body for body in server.asked] == [True, False, False]


def test_a_stream_in_spite_of_the_request_is_read() -> None:
    with ScriptedHttp(lambda request, body, number: Said(200, STREAM)) as server:
        assert ask(server) == ["yes", "yes"]


def test_a_server_that_refuses_streams_too_is_named() -> None:
    with ScriptedHttp(lambda request, body, number: Said(404, b"model only streams")) as server:
        with pytest.raises(EndpointError):
            ask(server)
        assert len(server.asked) == 2
