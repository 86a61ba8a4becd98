"""Bodies of any shape and size: a reply or a named fault, in time that grows as the body does."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.http.errors import HttpStatusError, make_status_error
from pipeline.llm.chat_model import ChatReply, ModelError
from pipeline.llm.chat_protocol import MalformedReplyError, read_reply
from pipeline.llm.completions_protocol import NoTokensError, read_completion_reply
from pipeline.llm.errors import explain
from pipeline.llm.event_loop import collect_seldom
from pipeline.llm.reply_fields import REASONING_KEYS
from prompts.replies import JUDGE, OBSERVE, REWRITE
from tests.support.growth import LINEAR, cpu_growth
from tests.support.odd_replies import chat, say, stream

NAMED = (ModelError, MalformedReplyError, HttpStatusError, NoTokensError)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["text", "type", "a"]), inner, max_size=3)
    ),
    max_leaves=6,
)
calls = st.lists(st.dictionaries(st.sampled_from(["id", "index", "function", "type"]), values, max_size=4), max_size=3)
messages = st.dictionaries(
    st.sampled_from(["content", "refusal", "function_call", *REASONING_KEYS]), values, max_size=4
)
choices = st.fixed_dictionaries(
    {},
    optional={
        "message": st.builds(lambda message, calls: message | {"tool_calls": calls}, messages, calls) | values,
        "delta": messages | values,
        "text": values,
        "token_ids": values,
        "finish_reason": values,
        "error": values,
    },
)
bodies = st.fixed_dictionaries(
    {"choices": st.lists(choices, max_size=2) | values},
    optional={"usage": values, "error": values, "object": st.sampled_from(["error", "chat.completion"])},
)


def check(read: Callable[[], ChatReply]) -> None:
    with suppress(*NAMED):
        reply = read()
        assert isinstance(reply.text, str)
        assert isinstance(reply.reasoning, str)
        assert 0 <= reply.completion_tokens <= 10**9


@given(st.lists(bodies, min_size=1, max_size=3), st.binary(max_size=20))
def test_any_body_is_a_reply_or_a_named_fault(parts: list[Any], junk: bytes) -> None:
    written = [json.dumps(part).encode() for part in parts]
    events = b"".join(b"data: %b\n\n" % part for part in written)
    for content in (written[0], events + b"data: [DONE]\n\n", events, junk, b"data: " + junk):
        check(partial(read_reply, content, "m", 40, ("stop",)))
        check(partial(read_completion_reply, content, "m", 3))


def repeat(text: str) -> Callable[[int], bytes]:
    return lambda count: say(text * count)


CALL = {"function": {"name": "f", "arguments": "{}"}}
LARGE: dict[str, Callable[[int], bytes]] = {
    **{
        f"content {text!r}": repeat(text)
        for text in (
            *("x", " ", "\n", "<think>", "</think>", "</think>\n", "\n</think> ", "<think>hm</think>", "[THINK]"),
            *("<|channel|>", "<|channel|>a", "<|start|>a", "<|channel|>a<|message|>", "<|end|> ", "stop"),
        )
    },
    "closing tag, then spaces": lambda count: say("hm</think>" + " " * count + "x"),
    "Harmony, then spaces": lambda count: say("<|channel|>final<|message|><|end|>" + " " * count + "x"),
    "parts": lambda count: say([{"type": "text", "text": "x"}] * count),
    "reasoning": lambda count: chat({"content": "x", "reasoning": [["x"]] * count}),
    "tool calls": lambda count: chat({"tool_calls": [CALL] * count}),
    "nested lists": lambda count: b"[" * count,
    "surrogates": lambda count: say("x").replace(b"x", b"\\ud83d" * count),
    "digits": lambda count: say("x", usage={"prompt_tokens": 5}).replace(b"5", b"5" * count),
    "stream of text": lambda count: stream(*[{"content": "x"}] * count),
    "stream of calls": lambda count: stream(*[{"tool_calls": [{"id": str(n), **CALL}]} for n in range(count)]),
    "stream of one call": lambda count: stream(*[{"tool_calls": [{"index": 0, **CALL}]}] * count),
    "stream of reasoning": lambda count: stream(*[{"reasoning_details": [{"text": "x"}]}] * count),
    "events without data": lambda count: b"event: x\n" * count,
    "lines of data": lambda count: b"data: x\n" * count,
    "comments": lambda count: b":\n\n" * count,
}


@pytest.mark.slow
@pytest.mark.parametrize("make", LARGE.values(), ids=LARGE)
def test_reading_is_linear(make: Callable[[int], bytes]) -> None:
    def read(content: bytes) -> None:
        check(lambda: read_reply(content, "m", 40, ("stop",)))

    with collect_seldom():  # as where replies are read
        assert cpu_growth(make, read) <= LINEAR


@pytest.mark.slow
@pytest.mark.parametrize("text", ["{", '{"a":', '"', "<query>", "verdict: ", "\\", '{"verdict": "', "<think>", "\n* "])
def test_reading_a_contract_is_linear(text: str) -> None:
    def read(content: str) -> None:
        for contract in (JUDGE, OBSERVE, REWRITE):
            with suppress(ValueError):
                contract.read(content)

    assert cpu_growth(lambda count: text * count, read) <= LINEAR


@pytest.mark.slow
@pytest.mark.parametrize("text", [b"x", b" ", b"exceeds ", b"model ", b"max_model_len ", b"stream only ", b"sk-"])
def test_explaining_an_error_is_linear(text: bytes) -> None:
    def read(content: bytes) -> None:
        for status in (200, 400, 403, 429):
            explain(make_status_error(status, content, {}), "e", "m", {"max_tokens": 5, "response_format": {}})

    assert cpu_growth(lambda count: text * count, read) <= LINEAR
