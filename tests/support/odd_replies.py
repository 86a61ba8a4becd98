"""Replies that servers really give to a chat request, and what they are: each an answer, or a fault with a name."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from typing import Any

USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
CALL = {"id": "c1", "type": "function", "function": {"name": "search", "arguments": '{"q": 1}'}}
RETRY, REFUSED, STOP = "retried", "refused", "stops the run"


@dataclass(frozen=True)
class OddReply:
    """A reply, and what our client makes of it: `answer: ...`, or one of the faults above with its kind."""

    name: str
    body: bytes
    ours: str
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    alike: bool = False
    """Whether openai's client reads the same answer."""


def chat(message: Any, finish: str | None = "stop", **more: Any) -> bytes:
    choice = {"index": 0, "message": message, "finish_reason": finish}
    body: dict[str, Any] = {"id": "c", "object": "chat.completion", "choices": [choice], "usage": USAGE}
    return json.dumps(body | more).encode()


def say(content: Any, **more: Any) -> bytes:
    return chat({"role": "assistant", "content": content}, **more)


def stream(*deltas: dict[str, Any], finish: str | None = "stop", done: bool = True) -> bytes:
    chunks: list[Any] = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}], "usage": USAGE})
    events = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks)
    return (events + ("data: [DONE]\n\n" if done else "")).encode()


def fail(**error: Any) -> bytes:
    return json.dumps({"error": error}).encode()


YES, THOUGHT = "answer: yes", "answer: yes, reasoning: hm"
JSON = {"content-type": "application/json"}
ANSWERS = (
    OddReply("plain", say("yes"), YES, alike=True),
    OddReply("white space before the JSON", b"\n  " + say("yes"), YES, alike=True),
    OddReply("byte order mark", b"\xef\xbb\xbf" + say("yes"), YES, alike=True),
    OddReply("HTTP 201", say("yes"), YES, 201, alike=True),
    OddReply(
        "gzip without being asked", gzip.compress(say("yes")), YES, headers={"content-encoding": "gzip"}, alike=True
    ),
    OddReply("no content type", say("yes"), YES, headers={"content-type": "text/plain"}),
    OddReply("half a surrogate pair", say("yes").replace(b"yes", b"yes\\ud83d"), "answer: yes?"),
    OddReply("tool calls, content null", chat({"content": None, "tool_calls": [CALL]}, "tool_calls"), "call: search"),
    OddReply(
        "arguments already parsed", chat({"tool_calls": [{"function": {"name": "s", "arguments": {}}}]}), "call: s"
    ),
    OddReply("function_call of old", chat({"content": None, "function_call": CALL["function"]}), "call: search"),
    OddReply("content as parts", say([{"type": "text", "text": "y"}, {"type": "text", "text": "es"}]), YES),
    OddReply("content as one part", say({"type": "text", "text": "yes"}), YES),
    OddReply(
        "a thinking part", say([{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "yes"}]), THOUGHT
    ),
    OddReply("reasoning_content", chat({"content": "yes", "reasoning_content": "hm"}), THOUGHT),
    OddReply("reasoning_content as a list", chat({"content": "yes", "reasoning_content": ["h", "m"]}), THOUGHT),
    OddReply("reasoning", chat({"content": "yes", "reasoning": "hm"}), THOUGHT),
    OddReply("thinking", chat({"content": "yes", "thinking": "hm"}), THOUGHT),
    OddReply("reasoning_details", chat({"content": "yes", "reasoning_details": [{"text": "hm"}]}), THOUGHT),
    OddReply("<think> in the content", say("<think>hm</think>yes"), THOUGHT),
    OddReply("</think> without its beginning", say("hm\n</think>\n\nyes"), THOUGHT),
    OddReply("[THINK] in the content", say("[THINK]hm[/THINK]yes"), THOUGHT),
    OddReply(
        "Harmony's channels in the content",
        say("<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>yes<|return|>"),
        THOUGHT,
    ),
    OddReply("finish_reason null", say("yes", finish=None), YES),
    OddReply("finish_reason of another API", say("yes", finish="MAX_TOKENS"), "answer: yes, cut"),
    OddReply(
        "cut at max_tokens, empty", chat({"content": "", "reasoning": "hm"}, "length"), "answer: , reasoning: hm, cut"
    ),
    OddReply("usage missing", say("yes", usage=None), "answer: yes, usage estimated"),
    OddReply("usage of nulls", say("yes", usage={"prompt_tokens": None}), "answer: yes, usage estimated"),
    OddReply(
        "usage negative",
        say("yes", usage={"prompt_tokens": -1, "completion_tokens": -1}),
        "answer: yes, usage estimated",
    ),
    OddReply("usage as text", say("yes", usage={"prompt_tokens": "3", "completion_tokens": "4"}), YES),
    OddReply("a stream in spite of the request", stream({"content": "y"}, {"content": "es"}), YES),
    OddReply("a stream with reasoning", stream({"reasoning": "hm"}, {"content": "yes"}), THOUGHT),
)
FAULTS = (
    OddReply("refusal", chat({"content": None, "refusal": "I cannot."}), f"{REFUSED}: model_refusal"),
    OddReply("refusal as a part", say([{"type": "refusal", "refusal": "I cannot."}]), f"{REFUSED}: model_refusal"),
    OddReply("filtered, empty", say("", finish="content_filter"), f"{REFUSED}: content_filter"),
    OddReply("SAFETY, empty", say("", finish="SAFETY"), f"{REFUSED}: content_filter"),
    OddReply("finish_reason abort", say("ye", finish="abort"), f"{RETRY}: UnavailableError"),
    OddReply("finish_reason error", say("", finish="error"), f"{RETRY}: UnavailableError"),
    OddReply("choices empty", say("yes", choices=[]), f"{RETRY}: MalformedReplyError"),
    OddReply("cut off", say("yes")[:60], f"{RETRY}: MalformedReplyError"),
    OddReply(
        "login page",
        b"<html>Please log in</html>",
        f"{RETRY}: MalformedReplyError",
        headers={"content-type": "text/html"},
    ),
    OddReply("nested without end", b"[" * 100_000, f"{RETRY}: MalformedReplyError"),
    OddReply("a stream cut off", stream({"content": "y"}, finish=None, done=False), f"{RETRY}: MalformedReplyError"),
    OddReply("rate limit in a 200", fail(message="Rate limit exceeded", code=429), f"{RETRY}: ThrottledError"),
    OddReply("overload in a 200", fail(message="Overloaded", type="overloaded_error"), f"{RETRY}: ThrottledError"),
    OddReply("unknown error in a 200", fail(message="Provider returned error"), f"{RETRY}: UnavailableError"),
    OddReply("no credit in a 200", fail(message="Insufficient credits", code=402), f"{STOP}: EndpointError"),
    OddReply("no credit by type", fail(message="x" * 300, type="insufficient_quota"), f"{STOP}: EndpointError", 429),
    OddReply("wrong key", fail(message="Incorrect API key provided"), f"{STOP}: EndpointError", 401),
    OddReply("rate limit", fail(message="slow down"), f"{RETRY}: ThrottledError", 429),
    OddReply("overloaded, 529", fail(message="Overloaded"), f"{RETRY}: UnavailableError", 529),
    OddReply("prompt too long", fail(message="maximum context length is 8192"), f"{REFUSED}: context_overflow", 400),
    OddReply("moderated input, 403", fail(message="input was flagged"), f"{REFUSED}: content_filter", 403),
    OddReply(
        "redirect to another host", b"", f"{STOP}: EndpointError", 308, {"location": "https://elsewhere.invalid/v1"}
    ),
)
ALL = (*ANSWERS, *FAULTS)
