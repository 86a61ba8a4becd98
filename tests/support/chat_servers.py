"""Chat servers that answer by a script, and configurations that name them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from flows.checks.findings import Finding
from flows.checks.roles import check_servers
from schemas.config import RunConfig
from tests.support.scripted_http import Said, ScriptedHttp

DEAD = "http://127.0.0.1:9/v1"
Answer = Callable[[dict[str, Any]], Said]


def reply(text: str = "OK") -> Said:
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 9, "completion_tokens": 1}
    return Said(
        body=json.dumps({"choices": [{"message": message, "finish_reason": "length"}], "usage": usage}).encode()
    )


def refuse(status: int, said: str) -> Said:
    return Said(status, json.dumps({"error": {"message": said}}).encode())


def serve(chat: Answer, models: Said | None = None, base: str = "/v1") -> ScriptedHttp:
    """A server that lists `models`, by default the model `m` alone, and answers requests by a function of the body."""
    listing = models or Said(body=b'{"data": [{"id": "m"}]}')

    def script(request: web.Request, body: bytes, count: int) -> Said:
        if request.path == f"{base}/models":
            return listing
        if request.path == f"{base}/chat/completions":
            return chat(json.loads(body))
        return Said(404, b'{"detail": "Not Found"}')

    return ScriptedHttp(script)


def make_config(url: str, role: dict[str, Any] | None = None, **endpoint: Any) -> RunConfig:
    llm = {"roles": {"default": {"model": "m", **(role or {})}}, "endpoints": {"one": {"url": url, **endpoint}}}
    return RunConfig.model_validate({"llm": llm, "agents": {"policy": "agents"}, "judging": {"judge": "llm"}})


def look(config: RunConfig, role: str = "judge") -> dict[str, Finding]:
    return {finding.subject: finding for finding in check_servers(config, Path(), [role]).findings}
