"""Calls are made once: a journal answers what was finished, whatever killed the process that asked."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import StorageError
from pipeline.llm.call_journal import JournaledChatModel, drop_refusals, read_line, write_reply
from pipeline.llm.chat_model import (
    ChatReply,
    ChatRequest,
    EndpointError,
    NoReplyError,
    RefusedRequestError,
    ToolCall,
    UnreadBodyError,
    UnsettledRefusalError,
)
from pipeline.llm.chat_protocol import make_body
from schemas.llm_config import RoleModelConfig
from tests.support.fault_server import FaultServer
from tests.support.scripted_model import ScriptedModel, make_reply, make_request

pytestmark = pytest.mark.processes

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
REPLIES = st.builds(
    ChatReply,
    text=TEXT,
    reasoning=TEXT,
    finish_reason=st.sampled_from(["stop", "length"]),
    model=TEXT,
    prompt_tokens=st.integers(0, 10**9),
    completion_tokens=st.integers(0, 10**9),
    tool_calls=st.lists(st.builds(ToolCall, TEXT, TEXT, TEXT), max_size=2).map(tuple),
)
ITEMS, STEPS = 60, 4


def describe(request: ChatRequest) -> Mapping[str, Any]:
    return make_body(RoleModelConfig(model="m"), request)


def ask_all(path: Path, model: ScriptedModel, requests: list[ChatRequest]) -> list[Any]:
    async def run() -> list[Any]:
        with JournaledChatModel(model, path, describe) as journaled:
            return await asyncio.gather(*(journaled.ask(request) for request in requests), return_exceptions=True)

    return asyncio.run(run())


@given(REPLIES)
def test_a_line_reads_back_as_the_reply_it_was_made_of(reply: ChatReply) -> None:
    line = write_reply("k", reply)
    assert line.count(b"\n") == 1
    assert read_line(orjson.loads(line)) == reply


def test_finished_calls_are_answered_from_the_journal(tmp_path: Path) -> None:
    requests = [make_request(f"q{i}") for i in range(10)]
    first, second = ScriptedModel(), ScriptedModel()
    replies = ask_all(tmp_path / "calls.jsonl", first, requests)
    assert ask_all(tmp_path / "calls.jsonl", second, requests) == replies
    assert (len(first.asked), len(second.asked)) == (10, 0)


def test_equal_requests_at_the_same_time_are_one_call_and_attempts_are_told_apart(tmp_path: Path) -> None:
    model = ScriptedModel(seconds=0.01)
    requests = [make_request("q", attempt=attempt) for attempt in (0, 0, 0, 1)]
    ask_all(tmp_path / "calls.jsonl", model, requests)
    assert len(model.asked) == 2


@pytest.mark.parametrize(
    ("error", "asked"),
    [
        (RefusedRequestError("context_overflow", "too long"), 0),
        (RefusedRequestError("bad_request", "unknown parameter"), 1),
        (UnsettledRefusalError("unknown parameter"), 1),
        (RefusedRequestError("no_reply", "no reply after 8 tries"), 1),
        (NoReplyError("no reply after 8 tries"), 1),
        (EndpointError("wrong key"), 1),
    ],
)
def test_refusals_of_the_server_are_kept_and_faults_are_owed_again(
    error: Exception, asked: int, tmp_path: Path
) -> None:
    path = tmp_path / "calls.jsonl"
    assert str(ask_all(path, ScriptedModel(lambda request: error), [make_request("q")])[0]) == str(error)
    second = ScriptedModel(lambda request: error)
    again = ask_all(path, second, [make_request("q")])[0]
    assert (len(second.asked), str(again), type(again)) == (asked, str(error), type(error))


def ask_at(path: Path, model: ScriptedModel, url: str, **words: Any) -> Any:
    async def run() -> Any:
        with JournaledChatModel(model, path, describe, lambda role: (url,), **words) as journaled:
            return (await asyncio.gather(journaled.ask(make_request("q")), return_exceptions=True))[0]

    return asyncio.run(run())


def test_a_refusal_belongs_to_its_endpoint_and_a_reply_to_none(tmp_path: Path) -> None:
    path = tmp_path / "stage" / "0.jsonl"
    refusing = ScriptedModel(lambda request: RefusedRequestError("content_filter", "no"))
    for url, asked in (("http://a/v1", 1), ("http://a/v1", 1), ("http://b/v1", 2)):
        assert ask_at(path, refusing, url).reason == "content_filter"
        assert len(refusing.asked) == asked
    drop_refusals(tmp_path)
    assert ask_at(path, refusing, "http://a/v1").reason == "content_filter"
    assert len(refusing.asked) == 3, "dropped, it is asked again"
    answering = ScriptedModel()
    assert [ask_at(path, answering, url).text for url in ("http://c/v1", "http://d/v1")] == ["echo q", "echo q"]
    drop_refusals(tmp_path)
    assert ask_at(path, answering, "http://a/v1").text == "echo q"
    assert len(answering.asked) == 1


def test_a_reply_that_cannot_be_read_is_kept_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    failing = ScriptedModel(lambda request: UnreadBodyError("cannot be read", body=b"what was paid for"))
    assert isinstance(ask_at(path, failing, ""), UnreadBodyError)
    model = ScriptedModel()
    read = ask_at(path, model, "", read=lambda request, content: make_reply(content.decode()))
    assert (read.text, model.asked) == ("what was paid for", [])


def test_a_closed_journal_is_free_whoever_still_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"

    async def run() -> None:
        first, second = (JournaledChatModel(ScriptedModel(), path, describe) for _ in range(2))
        await first.ask(make_request("q"))
        with pytest.raises(StorageError):
            await second.ask(make_request("q"))
        await first.close()
        assert (await second.ask(make_request("q"))).text == "echo q"

    asyncio.run(run())


@given(cut=st.integers(0, 600))
def test_torn_journal_owes_only_what_was_torn(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("calls") / "calls.jsonl"
    requests = [make_request(f"q{i}") for i in range(3)]
    replies = ask_all(path, ScriptedModel(), requests)
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    kept = whole[:cut].count(b"\n")
    again = ScriptedModel()
    assert ask_all(path, again, requests) == replies
    assert len(again.asked) == 3 - kept


def test_a_caller_that_goes_away_leaves_its_call_to_finish(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    model = ScriptedModel(seconds=0.05)

    async def run() -> None:
        with JournaledChatModel(model, path, describe) as journaled:
            caller = asyncio.create_task(journaled.ask(make_request("q")))
            await asyncio.sleep(0.01)
            caller.cancel()
            with pytest.raises(asyncio.CancelledError):
                await caller
            await asyncio.sleep(0.1)

    asyncio.run(run())
    second = ScriptedModel()
    ask_all(path, second, [make_request("q")])
    assert (model.finished, len(second.asked)) == (1, 0)


def start_client(url: str, folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.chained_calls", url, str(folder), str(ITEMS), str(STEPS)]
    )


def test_kill_at_half_time_repeats_no_finished_call(tmp_path: Path) -> None:
    """kill -9 in the middle; the server's own counts say that only what was in flight is asked again."""
    with FaultServer(latency=0.03) as server:
        first = start_client(server.url, tmp_path)
        deadline = time.monotonic() + 30
        while sum(server.answered.values()) < ITEMS * STEPS / 2 and time.monotonic() < deadline:
            time.sleep(0.005)
        os.kill(first.pid, signal.SIGKILL)
        assert first.wait() == -signal.SIGKILL
        time.sleep(0.1)
        journaled = {line.split(b'"text":"')[1].split(b'"')[0] for line in (tmp_path / "calls.jsonl").open("rb")}
        asked_before = server.asked.copy()
        assert start_client(server.url, tmp_path).wait() == 0
    repeated = [prompt for prompt in server.asked if server.asked[prompt] > 1]
    assert not [prompt for prompt in repeated if f"echo {prompt}".encode() in journaled]
    assert len(repeated) <= 16, "at most what was in flight"
    assert sum(asked_before.values()) < ITEMS * STEPS
    results = (tmp_path / "results.txt").read_text().splitlines()
    assert sorted(results) == sorted(f"{i}: echo {i} step {STEPS - 1}" for i in range(ITEMS))


def test_ctrl_c_keeps_what_is_in_flight(tmp_path: Path) -> None:
    with FaultServer(latency=0.15) as server:
        first = start_client(server.url, tmp_path)
        deadline = time.monotonic() + 30
        while sum(server.asked.values()) < 30 and time.monotonic() < deadline:
            time.sleep(0.005)
        first.send_signal(signal.SIGINT)
        first.wait(timeout=10)
        assert start_client(server.url, tmp_path).wait() == 0
    assert sum(server.asked.values()) == ITEMS * STEPS, "not one call was made twice"
