"""A chat model without a server: what it says is scripted, failures included, and what it is asked is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pipeline.llm.chat_model import ChatReply, ChatRequest, Message
from schemas.live import EndpointLive

Script = Callable[[ChatRequest], str | ChatReply | BaseException]


def echo(request: ChatRequest) -> str:
    """Repeat the last message."""
    return f"echo {request.messages[-1].text}"


class ScriptedModel:
    """Answers by a script, after some seconds: text or a reply is said, an exception is raised. Keeps count."""

    def __init__(self, script: Script = echo, seconds: float = 0.0) -> None:
        self._script = script
        self._seconds = seconds
        self.asked: list[ChatRequest] = []
        self.finished = 0
        self.stopped = 0
        self.closed = 0

    async def ask(self, request: ChatRequest) -> ChatReply:
        """The scripted reply."""
        self.asked.append(request)
        await asyncio.sleep(self._seconds)
        said = self._script(request)
        if isinstance(said, BaseException):
            raise said
        self.finished += 1
        return make_reply(said) if isinstance(said, str) else said

    def stop(self) -> None:
        """Count it."""
        self.stopped += 1

    async def close(self) -> None:
        """Count it."""
        self.closed += 1

    def load(self) -> tuple[EndpointLive, ...]:
        """There are no endpoints."""
        return ()


def make_reply(text: str, model: str = "scripted") -> ChatReply:
    """A reply of ten tokens in and a token a word out."""
    return ChatReply(text, "", "stop", model, prompt_tokens=10, completion_tokens=len(text.split()))


def make_request(text: str, attempt: int = 0, role: str = "planner") -> ChatRequest:
    """A request of one message."""
    return ChatRequest(role, (Message("user", text),), attempt)
