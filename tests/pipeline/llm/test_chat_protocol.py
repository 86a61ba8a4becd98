"""What is sent and what is read: thinking kept apart, stop strings cut, tools both ways, identity by content."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.http.errors import make_status_error, read_detail
from pipeline.llm.chat_model import ChatRequest, EndpointError, Message, RefusedRequestError, ToolCall
from pipeline.llm.chat_protocol import MalformedReplyError, encode_body, make_body, read_reply, split_thinking
from pipeline.llm.errors import explain
from schemas.llm_config import RoleModelConfig
from tests.support.scripted_model import make_request


def wrap(message: dict[str, object], finish: str = "stop") -> bytes:
    choice = {"message": message, "finish_reason": finish}
    return json.dumps(
        {"model": "m", "choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}
    ).encode()


@pytest.mark.parametrize(
    ("message", "reasoning", "text"),
    [
        ({"content": "yes"}, "", "yes"),
        ({"content": "yes", "reasoning_content": "hm"}, "hm", "yes"),
        ({"content": "yes", "reasoning": "hm"}, "hm", "yes"),
        ({"content": "<think>\nhm\n</think>\n\nyes"}, "hm", "yes"),
        ({"content": "hm\n</think>\n\nyes"}, "hm", "yes"),
        ({"content": "<think>never done"}, "never done", ""),
        ({"content": "say <think>x</think> aloud"}, "", "say <think>x</think> aloud"),
        ({"content": "hm, it is 7.</think>\n\nyes"}, "hm, it is 7.", "yes"),
        ({"content": "hm\r\n</think>\r\n\r\nyes"}, "hm", "yes"),
        ({"content": "hm\n</think>"}, "hm", ""),
        ({"content": 'The tag "</think>" ends a thought.'}, "", 'The tag "</think>" ends a thought.'),
        ({"content": "It ends with </think>\nas a rule."}, "", "It ends with </think>\nas a rule."),
        ({"content": "Quote:\n<think>\nx\n</think>\nso"}, "", "Quote:\n<think>\nx\n</think>\nso"),
        ({"content": "Quote:\n</think>\nso", "reasoning_content": "hm"}, "hm", "Quote:\n</think>\nso"),
        ({"content": "<think>hm</think>the tag </think>\n\nyes"}, "hm", "the tag </think>\n\nyes"),
        ({"content": '<think>hm</think>{"verdict": "</think>"}'}, "hm", '{"verdict": "</think>"}'),
        ({"content": None, "reasoning_content": "hm"}, "hm", ""),
    ],
)
def test_reasoning_is_kept_apart(message: dict[str, object], reasoning: str, text: str) -> None:
    reply = read_reply(wrap(message), "m", 0, ())
    assert (reply.reasoning, reply.text) == (reasoning, text)


def test_reply_ends_before_the_first_stop_string() -> None:
    assert read_reply(wrap({"content": "a</b>c</d>"}), "m", 0, ("</d>", "</b>")).text == "a"


def test_tool_calls_go_both_ways() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "search", "arguments": '{"q":'}}
    reply = read_reply(wrap({"content": None, "tool_calls": [call]}, "tool_calls"), "m", 0, ())
    assert reply.tool_calls == (ToolCall("c1", "search", '{"q":'),)
    messages = (Message("assistant", "", tool_calls=reply.tool_calls), Message("tool", "found", answers="c1"))
    body = make_body(RoleModelConfig(model="m"), ChatRequest("teacher", messages, tools=({"name": "search"},)))
    assert body["messages"][0]["tool_calls"] == [call]
    assert body["messages"][1] == {"role": "tool", "content": "found", "tool_call_id": "c1"}
    assert body["tools"] == [{"type": "function", "function": {"name": "search"}}]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"q": "__import__(\'os\')"}', '{"q": "__import__(\'os\')"}'),
        ({"q": ["a", 1, None]}, '{"q":["a",1,null]}'),
        ([], "[]"),
        ("", ""),
        (None, ""),
    ],
)
def test_arguments_stay_text_however_a_server_gives_them(arguments: object, text: str) -> None:
    call = {"type": "function", "function": {"name": "search", "arguments": arguments}}
    reply = read_reply(wrap({"content": None, "tool_calls": [call]}, "tool_calls"), "m", 0, ())
    assert reply.tool_calls == (ToolCall("", "search", text),)
    assert reply.text == ""


@given(
    st.binary(max_size=60)
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_any_other_body_is_malformed_and_nothing_else(content: bytes) -> None:
    with pytest.raises(MalformedReplyError):
        read_reply(content, "m", 0, ())


@given(st.integers(0, 200))
def test_cut_off_bodies_are_malformed(cut: int) -> None:
    whole = wrap({"content": "yes"})
    with pytest.raises(MalformedReplyError):
        read_reply(whole[: min(cut, len(whole) - 1)], "m", 0, ())


def test_half_a_surrogate_pair_breaks_nothing() -> None:
    content = wrap({"content": "a"}).replace(b'"a"', b'"a\\ud83d"')
    assert read_reply(content, "m", 0, ()).text == "a?"
    assert json.loads(encode_body(make_body(RoleModelConfig(model="m"), make_request("a\ud83d"))))


@given(st.text(max_size=60))
def test_thinking_loses_no_answer(text: str) -> None:
    if "think>" not in text:
        assert split_thinking(text) == ("", text)
        assert split_thinking(f"<think>x</think>{text}") == ("x", text.lstrip())


def test_filtered_answer_is_a_refusal_and_missing_usage_an_estimate() -> None:
    with pytest.raises(RefusedRequestError):
        read_reply(wrap({"content": ""}, "content_filter"), "m", 0, ())
    bare = json.dumps({"choices": [{"message": {"content": "x" * 400}}]}).encode()
    reply = read_reply(bare, "m", 4000, ())
    assert reply.prompt_tokens == 1000
    assert reply.completion_tokens > 100


def test_configuration_of_the_role_goes_into_the_body() -> None:
    role = RoleModelConfig(model="m", temperature=0.5, top_p=0.9, extra={"seed": 3, "max_tokens": None})
    body = make_body(role, make_request("q"))
    assert (body["temperature"], body["top_p"], body["seed"], "max_tokens" in body) == (0.5, 0.9, 3, False)


def test_no_key_is_repeated_from_what_a_server_says() -> None:
    assert "abc" not in read_detail(b"Incorrect API key provided: sk-abcdef123456")
    error = explain(make_status_error(401, b"sk-abcdef123456", {}), "main", "m")
    assert isinstance(error, EndpointError)
    assert "abc" not in str(error)
