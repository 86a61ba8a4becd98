"""A chat model that plays the roles of agents, extractor and judge by a script, and can fail on cue."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from pipeline.errors import RampforgeError
from pipeline.llm.chat_model import ChatReply, ChatRequest

Script = Callable[[ChatRequest], str | RampforgeError]


class RoleModel:
    """Answers each request by its script and keeps the requests; a scripted error is raised."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.requests: list[ChatRequest] = []

    async def ask(self, request: ChatRequest) -> ChatReply:
        """The scripted reply, after giving way once."""
        self.requests.append(request)
        await asyncio.sleep(0)
        said = self._script(request)
        if isinstance(said, RampforgeError):
            raise said
        finish = "length" if said.endswith("...") else "stop"
        return ChatReply(said, "", finish, f"scripted-{request.role}", 10 * len(request.messages), 3)

    def prompts(self, role: str = "") -> list[str]:
        """The first user message of every request, of one role or of all."""
        return [
            next(message.text for message in request.messages if message.speaker == "user")
            for request in self.requests
            if role in ("", request.role)
        ]


def by_role(**scripts: str | list[str] | Script) -> Script:
    """A script from one reply a role, or its replies in turn (the last one again and again), or a script of its own."""
    turns = dict.fromkeys(scripts, 0)

    def say(request: ChatRequest) -> str | RampforgeError:
        script = scripts[request.role]
        if callable(script):
            return script(request)
        if isinstance(script, str):
            return script
        number = turns[request.role]
        turns[request.role] += 1
        return script[min(number, len(script) - 1)]

    return say


def write(**fields: object) -> str:
    """A reply as a talkative model would give it."""
    return f"Let me see.\n```json\n{json.dumps(fields, ensure_ascii=False)}\n```"
