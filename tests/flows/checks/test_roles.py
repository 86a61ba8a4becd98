"""One token asked of each role tells what a run would meet, with the cause and the way out."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from flows.checks.endpoints import join_url
from flows.checks.findings import State
from flows.checks.role_requests import count_longest, shorten, write_request
from flows.checks.roles import check_servers
from pipeline.llm.chat_protocol import make_body
from schemas.llm_config import EndpointConfig
from tests.support.chat_servers import DEAD, Answer, look, make_config, refuse, reply, serve
from tests.support.fault_server import FaultServer
from tests.support.scripted_http import Said


def test_each_role_is_probed_by_one_token_with_its_own_body() -> None:
    with FaultServer() as server:
        config = make_config(f"{server.url}", {"top_p": 0.9, "extra": {"seed": 3}})
        report = check_servers(config, Path(), ["planner", "rewriter", "observer", "judge"])
    assert {finding.state for finding in report.findings} == {State.OK}
    assert [body["max_tokens"] for body in server.probes] == [1] * 4
    assert {body["top_p"] for body in server.probes} == {0.9}
    assert {body["seed"] for body in server.probes} == {3}
    assert sorted(body["temperature"] for body in server.probes) == [0.0, 0.7, 0.7, 0.7]
    names = {body["response_format"]["json_schema"]["name"] for body in server.probes}
    assert names == {"planner", "rewriter", "observer", "judge"}
    assert [(entry.role, entry.prompt_tokens, entry.completion_tokens) for entry in report.entries] == [
        (role, 10, 5) for role in ("planner", "rewriter", "observer", "judge")
    ]


@pytest.mark.parametrize("extra", [{}, {"max_tokens": None, "max_completion_tokens": 900}, {"max_tokens": 700}])
def test_the_cap_is_one_under_whatever_name(extra: dict[str, Any]) -> None:
    config = make_config(DEAD, {"extra": extra})
    short = make_body(shorten(config.llm.roles["default"]), write_request(config, "judge"))
    whole = make_body(config.llm.roles["default"], write_request(config, "judge"))
    assert short.keys() == whole.keys()
    assert sum(value == 1 for value in short.values()) == 1
    assert count_longest(config, "judge") == (max(v for v in extra.values() if v) if extra else 512)


TOKENS = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
WARM = "Unsupported value: 'temperature' does not support 0.0 with this model. Only the default (1) value is supported."


@pytest.mark.parametrize(
    ("chat", "state", "said", "fix"),
    [
        (lambda body: reply(), State.OK, "m at one", ""),
        (lambda body: reply(""), State.OK, "m at one", ""),
        (lambda body: refuse(400, TOKENS), State.FAIL, "max_completion_tokens", "{max_tokens: null}"),
        (lambda body: refuse(400, WARM), State.FAIL, "temperature", "{temperature: null}"),
        (lambda body: refuse(400, "No connected db."), State.FAIL, "refuses the key", "right key"),
        (lambda body: refuse(400, "API key not valid. Please pass a valid API key."), State.FAIL, "key", "right key"),
        (lambda body: refuse(401, "who are you"), State.FAIL, "refuses the key", "right key"),
        (lambda body: refuse(402, "Insufficient credits"), State.FAIL, "no credit", "pay"),
        (lambda body: refuse(500, "internal"), State.FAIL, "HTTP 500", "llm.roles.judge.model"),
        (lambda body: refuse(429, "slower"), State.WARN, "busy", ""),
        (lambda body: refuse(422, "Unexpected fields"), State.FAIL, "Unexpected fields", "llm.roles.judge"),
        (lambda body: refuse(400, "model output limit was reached"), State.OK, "m at one", ""),
        (lambda body: Said(body=b"<html>log in</html>"), State.FAIL, "not a chat completion", ""),
        (lambda body: Said(307, headers={"location": "https://elsewhere"}), State.FAIL, "307", ""),
    ],
)
def test_obstacles_of_a_run_are_reported(
    chat: Answer, state: State, said: str, fix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.checks.role_probes.PROBE_SECONDS", 5.0)
    with serve(chat) as server:
        found = look(make_config(f"{server.url}/v1"))
    assert found["role judge"].state is state, found
    assert said in found["role judge"].detail
    assert fix in found["role judge"].fix


@pytest.mark.parametrize("words", ["response_format is not supported", "Unknown name additionalProperties", "no"])
def test_a_server_that_refuses_schemas_is_a_warning(words: str) -> None:
    with serve(lambda body: refuse(400, words) if "response_format" in body else reply()) as server:
        found = look(make_config(f"{server.url}/v1"))["role judge"]
    assert (found.state, "leniently" in found.detail) == (State.WARN, True)


@pytest.mark.parametrize(
    ("models", "state"),
    [
        (Said(404, b"no"), State.OK),
        (Said(200, b'{"object": "list", "data": []}'), State.OK),
        (Said(200, b'[{"id": "m"}]'), State.OK),
        (Said(200, b"<html></html>"), State.OK),
        (Said(403, b"no"), State.WARN),
        (Said(500, b"no cache folder"), State.OK),
    ],
)
def test_a_server_that_lists_nothing_and_answers_is_no_failure(models: Said, state: State) -> None:
    with serve(lambda body: reply(), models) as server:
        found = look(make_config(f"{server.url}/v1"))
    assert found["endpoint one"].state is state
    assert found["role judge"].state is State.OK


def test_a_model_that_is_not_listed() -> None:
    cards = Said(body=b'{"data": [{"id": "other"}, {"id": "n*"}]}')
    with serve(lambda body: reply(), cards) as server:
        answered = look(make_config(f"{server.url}/v1"))["role judge"]
        assert (answered.state, "other" in answered.detail) == (State.WARN, True)
        assert look(make_config(f"{server.url}/v1", {"model": "news"}))["role judge"].state is State.OK
    with serve(lambda body: refuse(400, "Invalid model name passed in model=m"), cards) as server:
        refused = look(make_config(f"{server.url}/v1"))["role judge"]
    assert refused.state is State.FAIL
    assert "n*, other" in refused.detail
    assert refused.fix == "set llm.roles.judge.model"


@pytest.mark.parametrize(
    ("card", "longest", "state"),
    [
        ({"max_model_len": 4096}, 5000, State.FAIL),
        ({"max_model_len": 4096}, 4096, State.FAIL),
        ({"max_model_len": 4096}, 4000, State.WARN),
        ({"max_model_len": 4096}, 1000, State.OK),
        ({"meta": {"n_ctx": 2048, "n_ctx_train": 8192}}, 3000, State.FAIL),
        ({"context_length": 2048}, 3000, State.FAIL),
        ({"max_model_len": None}, 3000, State.OK),
    ],
)
def test_the_window_is_compared_with_the_longest_reply(card: dict[str, Any], longest: int, state: State) -> None:
    models = Said(body=json.dumps({"data": [{"id": "m", **card}]}).encode())
    with serve(lambda body: reply(), models) as server:
        assert look(make_config(f"{server.url}/v1", {"max_tokens": longest}))["role judge"].state is state
        extra = {"extra": {"max_tokens": None, "max_completion_tokens": longest}}
        assert look(make_config(f"{server.url}/v1", extra))["role judge"].state is state


@pytest.mark.parametrize(("given", "right"), [("", "/v1"), ("/v1/chat/completions", "/v1")])
def test_the_right_base_is_suggested(given: str, right: str) -> None:
    with serve(lambda body: reply()) as server:
        found = look(make_config(f"{server.url}{given}"))["role judge"]
        assert found.state is State.FAIL
        assert found.fix == f"set llm.endpoints.one.url={server.url}{right}"


def test_a_query_in_the_url_stays_at_its_end() -> None:
    url = "https://host/openai/v1?api-version=2024-10-21"
    assert join_url(url, "models") == "https://host/openai/v1/models?api-version=2024-10-21"


def test_a_role_with_one_server_of_two_is_warned_of() -> None:
    with serve(lambda body: reply()) as server:
        config = make_config(f"{server.url}/v1")
        two = {**config.llm.endpoints, "two": EndpointConfig(url=DEAD)}
        found = look(config.model_copy(update={"llm": config.llm.model_copy(update={"endpoints": two})}))
    assert found["role judge"].state is State.WARN
    assert found["endpoint two"].state is State.WARN, "the run can do without it"


def test_probes_inside_an_event_loop() -> None:
    with serve(lambda body: reply()) as server:
        config = make_config(f"{server.url}/v1")

        async def ask() -> State:
            return look(config)["role judge"].state

        assert asyncio.run(ask()) is State.OK
