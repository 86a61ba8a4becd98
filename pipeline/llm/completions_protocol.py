"""The OpenAI completions protocol with token ids in and out, as vLLM speaks it.

Guarantees: a completion is the very tokens that the model wrote, closing tag and end of the sequence included; a server
that returns no tokens is detected at its first reply, because text that is tokenised again drifts from them.
"""

from __future__ import annotations

from typing import Any

from pipeline.http.errors import read_detail
from pipeline.llm.chat_model import ChatReply, ChatRequest
from pipeline.llm.chat_protocol import MalformedReplyError
from pipeline.llm.event_stream import assemble_stream, is_stream
from pipeline.llm.reply_fields import parse_json, read_finish, take_choice
from schemas.llm_config import RoleModelConfig

MOST_IDS = 1 << 32
"""Token ids are below this."""


class NoTokensError(Exception):
    """The server gives text without its tokens."""


def make_completion_body(role: RoleModelConfig, request: ChatRequest) -> dict[str, Any]:
    """The request as JSON values. `max_tokens` of the role is a bound here: what is asked for is what finds room."""
    body: dict[str, Any] = {
        "model": role.model,
        "prompt": request.prompt_ids,
        "temperature": request.temperature if role.temperature is None else role.temperature,
        "max_tokens": min(request.max_tokens, role.max_tokens or request.max_tokens),
        "stop": list(request.stop),
        "include_stop_str_in_output": True,
        "return_token_ids": True,
    }
    if (top_p := request.top_p if role.top_p is None else role.top_p) is not None:
        body["top_p"] = top_p
    return {key: value for key, value in (body | role.extra).items() if value is not None}


def read_completion_reply(content: bytes, model: str, prompt_tokens: int) -> ChatReply:
    """Read the reply of a model to a prompt of so many tokens.

    Raises MalformedReplyError for a body that is not a reply, HttpStatusError for an error in it, NoTokensError for one
    without tokens.
    """
    try:
        choice = take_choice(assemble_stream(content) if is_stream(content) else parse_json(content))
        text, ids = choice["text"], choice.get("token_ids")
        if ids is None:
            raise NoTokensError("the server returns no token ids")
        if not isinstance(text, str) or not all(_is_token(token) for token in ids):
            raise TypeError("text and token ids are of other types")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise MalformedReplyError(f"not a completion ({type(error).__name__}): {read_detail(content)}") from None
    return ChatReply(text, "", read_finish(choice), model, prompt_tokens, len(ids), token_ids=tuple(ids))


def _is_token(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST_IDS
