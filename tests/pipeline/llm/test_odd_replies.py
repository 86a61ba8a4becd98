"""What our client makes of replies that servers really give, beside what openai's own client reads of the same bytes.

`python -m tests.pipeline.llm.test_odd_replies` prints the two as a table.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator

import openai
import pytest

from pipeline.llm.chat_model import ChatReply, EndpointError, NoReplyError, RefusedRequestError
from pipeline.llm.openai_chat_model import OpenAiChatModel
from schemas.llm_config import EndpointConfig, LimitsConfig, LlmConfig, RoleModelConfig
from tests.support.odd_replies import ALL, REFUSED, RETRY, STOP, OddReply
from tests.support.scripted_http import Said, ScriptedHttp
from tests.support.scripted_model import make_request


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedHttp]:
    with serve() as running:
        yield running


def serve() -> ScriptedHttp:
    """Each reply of the list at a base URL of its own."""

    def script(request: object, body: bytes, number: int) -> Said:
        case = ALL[int(str(getattr(request, "path", "")).split("/")[1])]
        return Said(case.status, case.body, {"content-type": "application/json"} | case.headers)

    return ScriptedHttp(script)


def read_ours(server: ScriptedHttp, case: OddReply) -> str:
    config = LlmConfig(
        endpoints={"e": EndpointConfig(url=f"{server.url}/{ALL.index(case)}")},
        roles={"default": RoleModelConfig(model="m")},
        limits=LimitsConfig(tries=1, give_up=0.001),
    )

    async def run() -> ChatReply:
        model = OpenAiChatModel(config, {})
        try:
            return await model.ask(make_request("hello"))
        finally:
            await model.close()

    try:
        return describe(asyncio.run(run()))
    except NoReplyError as error:
        return f"{RETRY}: {type(error.__cause__).__name__}"
    except RefusedRequestError as error:
        return f"{REFUSED}: {error.reason}"
    except EndpointError as error:
        return f"{STOP}: {type(error).__name__}"


def describe(reply: ChatReply) -> str:
    if reply.tool_calls:
        return f"call: {reply.tool_calls[0].name}"
    reasoning = f", reasoning: {reply.reasoning}" if reply.reasoning else ""
    cut = ", cut" if reply.finish_reason == "length" else ""
    reported = (reply.prompt_tokens, reply.completion_tokens) == (3, 4)
    return f"answer: {reply.text}{reasoning}{cut}{'' if reported else ', usage estimated'}"


def read_openai(server: ScriptedHttp, case: OddReply) -> str:
    url = f"{server.url}/{ALL.index(case)}"
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0) as client:
        try:
            whole = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hello"}])
            message = whole.choices[0].message
        except Exception as error:
            return type(error).__name__
    if message.tool_calls:
        return f"call: {message.tool_calls[0].function.name}"  # type: ignore[union-attr]  # a call of a function
    return f"answer: {message.content}"


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_a_reply_is_read_for_what_it_is(case: OddReply, server: ScriptedHttp) -> None:
    assert read_ours(server, case) == case.ours
    if case.alike:
        assert read_openai(server, case) == case.ours


def write_table() -> str:
    lines = ["| reply | ours | openai |", "|---|---|---|"]
    with serve() as server:
        for case in ALL:
            theirs = read_openai(server, case).replace("|", "\\|").replace("\n", " ")[:100]
            lines.append(f"| {case.name} | {read_ours(server, case)} | {theirs} |")
    return "\n".join([*lines, ""]).encode("utf-8", "replace").decode()


if __name__ == "__main__":
    sys.stdout.write(write_table())
