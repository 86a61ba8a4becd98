"""Tool calls over HTTP: asked for, answered, journalled, and told apart from requests without tools."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.llm.call_journal import JournaledChatModel
from pipeline.llm.chat_model import ChatReply, ChatRequest, Message
from pipeline.llm.openai_chat_model import OpenAiChatModel
from tests.pipeline.llm.test_endpoints import make_config
from tests.support.fault_server import FaultServer

SEARCH = {
    "name": "search",
    "description": "Look something up.",
    "parameters": {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
}
BROKEN = '{"query": "Orvel", "k": [1, '


def call_then_answer(body: dict[str, Any]) -> dict[str, Any]:
    """Calls a tool with broken arguments; once a tool has answered, says what it said."""
    last = body["messages"][-1]
    if last["role"] == "tool":
        return {"content": f"It says {last['content']}"}
    if "tools" not in body:
        return {"content": "no tools"}
    function = {"name": body["tools"][0]["function"]["name"], "arguments": BROKEN}
    call = {"id": "call-7", "type": "function", "function": function}
    return {"content": None, "tool_calls": [call], "finish_reason": "tool_calls"}


async def converse(url: str, path: Path, tools: tuple[dict[str, Any], ...]) -> list[ChatReply]:
    """A question, and the tool's answer if the model asks for it."""
    client = OpenAiChatModel(make_config(url), {})
    with JournaledChatModel(client, path, client.describe) as model:
        request = ChatRequest("teacher", (Message("user", "Where is Orvel?"),), tools=tools)
        replies = [await model.ask(request)]
        if calls := replies[0].tool_calls:
            said = Message("assistant", replies[0].text, tool_calls=calls)
            found = Message("tool", "in the vale", answers=calls[0].call_id)
            replies.append(await model.ask(replace(request, messages=(*request.messages, said, found))))
        await model.close()
    return replies


def test_a_tool_is_called_and_answered_and_nothing_is_asked_twice(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    with FaultServer(lambda body, count: "500" if count == 1 else "ok") as server:
        server.answer = call_then_answer
        first = asyncio.run(converse(server.url, path, (SEARCH,)))
        asked = len(server.bodies)
        assert asyncio.run(converse(server.url, path, (SEARCH,))) == first
        assert len(server.bodies) == asked
        without = asyncio.run(converse(server.url, path, ()))
    assert [(call.name, call.arguments) for call in first[0].tool_calls] == [("search", BROKEN)]
    assert first[0].finish_reason == "tool_calls"
    assert first[1].text == "It says in the vale"
    assert [reply.text for reply in without] == ["no tools"], "a request without tools is another request"
    sent = next(body for body in server.bodies if body["messages"][-1]["role"] == "tool")
    assert sent["tools"] == [{"type": "function", "function": SEARCH}]
    assert sent["messages"][1]["tool_calls"][0] == {
        "id": "call-7",
        "type": "function",
        "function": {"name": "search", "arguments": BROKEN},
    }
    assert sent["messages"][2]["tool_call_id"] == "call-7"
    assert json.loads(path.read_text().splitlines()[0])["reply"]["tool_calls"][0]["arguments"] == BROKEN
