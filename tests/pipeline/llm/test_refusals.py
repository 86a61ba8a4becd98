"""Refusals of an item and of a configuration: told apart by whether others are answered, and by their words."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pipeline.http.errors import make_status_error
from pipeline.llm.budget import Budget, BudgetedChatModel
from pipeline.llm.chat_model import (
    ChatReply,
    ChatRequest,
    EndpointError,
    ModelError,
    RefusedRequestError,
    UnsettledRefusalError,
)
from pipeline.llm.errors import explain
from pipeline.llm.prices import PriceTable
from pipeline.llm.refusals import HOPELESS, SettledChatModel
from schemas.llm_config import BudgetConfig
from tests.support.scripted_model import ScriptedModel, make_reply, make_request

BODY = {"model": "m", "messages": [], "temperature": 0.0, "max_tokens": 1024}


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (301, ""),
        (308, ""),
        (400, "max_tokens=1024 cannot be greater than max_model_len=512. (parameter=max_tokens, value=1024)"),
        (400, "max_tokens: 1024 > 512, which is the maximum allowed number of output tokens"),
        (400, "max_tokens is too large: 1024. This model supports at most 512 completion tokens"),
        (400, "Invalid model name passed in model=m. Call `/v1/models`"),
        (400, "No connected db."),
        (400, "API key not valid. Please pass a valid API key."),
        (400, "Unsupported parameter: 'max_tokens' is not supported with this model."),
        (400, "Unsupported value: 'temperature' does not support 0.0 with this model."),
        (401, ""),
        (402, "Insufficient credits"),
        (403, "forbidden"),
        (404, "Not Found"),
    ],
)
def test_what_the_configuration_causes_is_the_endpoints_fault(status: int, said: str) -> None:
    error = explain(make_status_error(status, said.encode(), {"location": "https://u:pw@h/v1?key=x"}), "e", "m", BODY)
    assert isinstance(error, EndpointError)
    assert error.fix
    assert "pw" not in error.what
    assert "key=" not in error.what


@pytest.mark.parametrize(
    ("status", "said", "reason"),
    [
        (400, "max_tokens must be at least 1, got 0", "context_overflow"),
        (400, "This model's maximum context length is 8192 tokens. However, you requested 9000", "context_overflow"),
        (400, "max_tokens is too large: 1024. The maximum context length is 4,096 tokens", "context_overflow"),
        (413, "Payload Too Large", "context_overflow"),
        (403, "This model requires moderation and your input was flagged. No credits were charged.", "content_filter"),
        (403, "blocked by the firewall", "bad_request"),
        (422, "messages: too odd", "bad_request"),
    ],
)
def test_what_an_item_causes_is_its_own_refusal(status: int, said: str, reason: str) -> None:
    error = explain(make_status_error(status, said.encode(), {}), "e", "m", BODY, answered=True)
    assert isinstance(error, RefusedRequestError)
    assert (error.reason, error.endpoint) == (reason, "e")


def settle(path: Path, script: dict[str, str | ModelError], gives_up: bool = False, now: float = 0.0) -> list[object]:
    """The replies, or errors, of requests asked one after the other."""

    def say(request: ChatRequest) -> str | ChatReply | BaseException:
        return script[request.messages[-1].text]

    async def ask_all() -> list[object]:
        budget = Budget(BudgetConfig(), PriceTable({}), path / "usage.jsonl", lambda: now)
        model = SettledChatModel(BudgetedChatModel(ScriptedModel(say), budget), budget, lambda _: "scripted", gives_up)
        ends: list[object] = []
        for text in script:
            ends += await asyncio.gather(model.ask(make_request(text)), return_exceptions=True)
        budget.close()
        return ends

    return asyncio.run(ask_all())


@pytest.mark.parametrize("reason", ["bad_request", "context_overflow", "content_filter"])
def test_a_refusal_is_the_items_own_once_others_are_answered(reason: str, tmp_path: Path) -> None:
    refusal = RefusedRequestError(reason, "no")
    first, _, then = settle(tmp_path, {"a": refusal, "b": "yes", "c": refusal})
    assert isinstance(first, UnsettledRefusalError)
    assert then is refusal


def test_what_was_answered_in_another_session_proves_no_configuration(tmp_path: Path) -> None:
    overflow, wrong = RefusedRequestError("context_overflow", "no"), RefusedRequestError("bad_request", "no")
    settle(tmp_path, {"a": "yes"}, now=1.0)
    ends = settle(tmp_path, {"b": overflow, "c": wrong}, now=2.0)
    assert ends[0] is overflow
    assert isinstance(ends[1], UnsettledRefusalError)
    assert settle(tmp_path, {"c": wrong}, gives_up=True, now=3.0) == [wrong]


def test_many_refusals_in_a_row_are_no_longer_the_items_own(tmp_path: Path) -> None:
    script: dict[str, str | ModelError] = {"a": "yes"}
    script |= {f"q{number}": RefusedRequestError("bad_request", "no") for number in range(HOPELESS + 3)}
    ends = settle(tmp_path, script)
    assert [type(end) for end in ends[1:HOPELESS]] == [RefusedRequestError] * (HOPELESS - 1)
    assert [type(end) for end in ends[HOPELESS:]] == [UnsettledRefusalError] * 4


def test_a_refusal_in_a_reply_is_paid_for_and_needs_no_proof(tmp_path: Path) -> None:
    refusal = RefusedRequestError("model_refusal", "no", make_reply("", "scripted"))
    assert settle(tmp_path, {"a": refusal}) == [refusal]
    assert (tmp_path / "usage.jsonl").read_bytes().count(b"\n") == 1
