"""Replies of every shape that servers give: what can be read is read, all else is a named fault."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import orjson
import pytest

from pipeline.http.errors import HttpStatusError, RefusalError, ThrottledError, UnavailableError
from pipeline.llm import client, openai_chat_model
from pipeline.llm.call_journal import write_reply
from pipeline.llm.chat_model import EndpointError, ModelError, RefusedRequestError, UnreadBodyError
from pipeline.llm.chat_protocol import BYTES_PER_TOKEN, MalformedReplyError, read_reply
from pipeline.llm.client import OversizedReplyError
from pipeline.llm.completions_protocol import NoTokensError, read_completion_reply
from pipeline.llm.openai_chat_model import OpenAiChatModel
from schemas.llm_config import EndpointConfig, LimitsConfig, LlmConfig, RoleModelConfig
from tests.support.api_clients import open_async
from tests.support.scripted_http import Said, ScriptedHttp
from tests.support.scripted_model import make_request

NAMED = (ModelError, MalformedReplyError, HttpStatusError, NoTokensError)
CALL = {"id": "c1", "type": "function", "function": {"name": "search", "arguments": '{"q": 1}'}}
CHAT = {
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "yes", "reasoning_content": "hm", "tool_calls": [CALL]},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 4, "prompt_tokens_details": None},
}
COMPLETION = {"choices": [{"text": "yes", "finish_reason": "stop", "token_ids": [1, 2]}], "usage": {"prompt_tokens": 3}}
ODD = [
    *(b"null", b"true", b"-1", b"-1000000", b"1000000000000000", b"1.5", b"1e300", b"1" + b"0" * 30, b"NaN"),
    *(b'""', b'"text"', b'"%b"' % (b"9" * 5000), b'"\\ud83d"', b"[]", b"{}", b"[null]", b'["x"]', b'{"a": 1}'),
    b"[" * 900 + b"]" * 900,
    b'[{"type": "text", "text": "part"}]',
    b'[{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "part"}]',
    b'{"message": "Rate limit exceeded", "code": 429}',
]


def list_places(value: Any) -> list[tuple[Any, Any]]:
    """Each container in a value with each of its keys."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    return [place for key in keys for place in [(value, key), *list_places(value[key])]]


def mutate(body: dict[str, Any], dice: random.Random) -> bytes:
    """A body with some of its parts taken away, replaced or cut off."""
    values = json.loads(json.dumps(body))
    for _ in range(dice.randint(1, 3)):
        places = list_places(values)
        if not places:
            break
        holder, key = dice.choice(places)
        if dice.random() < 0.2:
            del holder[key]
        else:
            holder[key] = orjson.Fragment(dice.choice(ODD))
    content = orjson.dumps(values)
    return content[: dice.randrange(len(content))] if dice.random() < 0.1 else content


def test_mutated_chat_bodies_give_a_reply_or_a_named_fault() -> None:
    dice = random.Random(1)
    for _ in range(5000):
        try:
            reply = read_reply(mutate(CHAT, dice), "m", 40, ())
        except NAMED:
            continue
        assert orjson.loads(write_reply("k", reply))["key"] == "k"
        assert all(isinstance(text, str) for text in (reply.text, reply.reasoning, reply.finish_reason))
        assert 0 <= reply.prompt_tokens <= 10**9
        assert 0 <= reply.completion_tokens <= 10**9


def test_mutated_completion_bodies_give_a_reply_or_a_named_fault() -> None:
    dice = random.Random(2)
    for _ in range(5000):
        try:
            reply = read_completion_reply(mutate(COMPLETION, dice), "m", 3)
        except NAMED:
            continue
        assert orjson.loads(write_reply("k", reply))["key"] == "k"
        assert all(type(token) is int for token in reply.token_ids)


@pytest.mark.parametrize(
    "read", [lambda body: read_reply(body, "m", 0, ()), lambda b: read_completion_reply(b, "m", 1)]
)
@pytest.mark.parametrize("body", [b"[" * 200_000, b'{"choices":' * 200_000, b'{"a":[' * 200_000 + b"]}" * 200_000])
def test_bodies_nested_without_end_are_malformed(read: Any, body: bytes) -> None:
    with pytest.raises(MalformedReplyError):
        read(body)


def wrap(message: dict[str, Any], **more: Any) -> bytes:
    return orjson.dumps({"choices": [{"message": message} | more], "usage": {"prompt_tokens": 3}})


@pytest.mark.parametrize(
    ("message", "text", "reasoning"),
    [
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, "ab", ""),
        ({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, "a"]}, "a", "hm"),
        ({"content": "a", "reasoning": {"content": "hm"}}, "a", "hm"),
        ({"content": "a", "reasoning_content": ["h", {"text": "m"}]}, "a", "hm"),
        ({"content": "a", "reasoning_content": 5, "reasoning": None}, "a", ""),
        ({"content": "a", "refusal": None}, "a", ""),
    ],
)
def test_parts_and_reasoning_are_read_in_any_shape(message: dict[str, Any], text: str, reasoning: str) -> None:
    reply = read_reply(wrap(message), "m", 0, ())
    assert (reply.text, reply.reasoning) == (text, reasoning)


@pytest.mark.parametrize(
    "count", [None, -1, -1_000_000, 10**15, True, "many", [], {}, orjson.Fragment(b"1" + b"0" * 30)]
)
def test_counts_that_cannot_be_true_are_estimated(count: Any) -> None:
    usage = {"prompt_tokens": count, "completion_tokens": count}
    content = orjson.dumps({"choices": [{"message": {"content": "x" * 400}}], "usage": usage})
    reply = read_reply(content, "m", 4000, ())
    assert (reply.prompt_tokens, reply.completion_tokens) == (1000, len(content) // BYTES_PER_TOKEN)


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        ({"message": "Rate limit exceeded", "code": 429}, ThrottledError, 429),
        ({"message": "Rate limit exceeded"}, ThrottledError, 429),
        ({"message": "Insufficient credits", "code": 402}, RefusalError, 402),
        ("insufficient_quota", RefusalError, 402),
        ({"message": "Provider returned error", "code": "502"}, UnavailableError, 502),
        ({"message": "something else"}, UnavailableError, 200),
    ],
)
def test_an_error_in_a_200_is_the_status_it_stands_for(error: Any, kind: type[HttpStatusError], status: int) -> None:
    for content in (orjson.dumps({"error": error}), orjson.dumps({"choices": [{"error": error, "message": {}}]})):
        with pytest.raises(kind) as caught:
            read_reply(content, "m", 0, ())
        assert caught.value.status == status
        assert (error if isinstance(error, str) else error["message"]) in caught.value.detail


def test_a_model_that_refuses_is_quoted_and_counted() -> None:
    with pytest.raises(RefusedRequestError, match="I cannot help") as caught:
        read_reply(wrap({"content": None, "refusal": "I cannot help with that."}), "m", 0, ())
    assert caught.value.reason == "model_refusal"
    assert caught.value.reply is not None
    assert caught.value.reply.prompt_tokens == 3


def ask(server: ScriptedHttp, proxy: str | None = None) -> object:
    """What one request ends with."""

    async def run() -> object:
        config = LlmConfig(
            endpoints={"here": EndpointConfig(url=f"{server.url}/v1", proxy=proxy)},
            roles={"default": RoleModelConfig(model="m")},
            limits=LimitsConfig(tries=2, max_wait=0.01),
        )
        model = OpenAiChatModel(config, {})
        try:
            return (await asyncio.gather(model.ask(make_request("q")), return_exceptions=True))[0]
        finally:
            await model.close()

    return asyncio.run(run())


@pytest.mark.parametrize("status", [201, 202, 206])
def test_any_2xx_is_a_success(status: int) -> None:
    with ScriptedHttp(lambda request, body, number: Said(status, wrap({"content": "yes"}))) as server:
        assert ask(server).text == "yes"  # type: ignore[attr-defined]  # a reply, or the test fails


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_the_endpoints_fault(status: int) -> None:
    with ScriptedHttp(lambda request, body, number: Said(status, b"", {"location": "https://there/v1"})) as server:
        error = ask(server)
        assert isinstance(error, EndpointError)
        assert "https://there/v1" in error.what
        assert len(server.asked) == 1


def test_a_reply_that_reading_breaks_on_is_handed_over_as_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AttributeError("a bug")

    monkeypatch.setattr(openai_chat_model, "read_reply", fail)
    whole = wrap({"content": "yes"})
    with ScriptedHttp(lambda request, body, number: Said(200, whole)) as server:
        error = ask(server)
        assert isinstance(error, UnreadBodyError)
        assert error.body == whole
        assert "AttributeError: a bug" in error.what
        assert len(server.asked) == 1


@pytest.mark.parametrize("proxied", [False, True])
def test_a_reply_is_read_up_to_a_size_and_no_further(proxied: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MOST_BYTES", 1 << 16)

    async def get(url: str, proxy: str | None) -> int:
        async with open_async("http://127.0.0.1:1" if proxy else url, "", proxy, 1) as way:
            return len(await way.request("/"))

    answer = Said(200, b"x" * 1000)
    with ScriptedHttp(lambda request, body, number: answer) as server:
        words = ("", server.url) if proxied else (server.url, None)
        assert asyncio.run(get(*words)) == 1000
        for status in (200, 400):
            answer = Said(status, b"x" * (1 << 20))
            with pytest.raises(OversizedReplyError):
                asyncio.run(get(*words))
