"""Keys and headers of a model server: where they are sent, when a command gives a new one, where they never show."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pydantic import ValidationError

from pipeline.errors import ConfigError
from pipeline.http.errors import HttpStatusError
from pipeline.llm.chat_model import EndpointError
from pipeline.llm.credentials import read_key_output
from pipeline.llm.openai_chat_model import OpenAiChatModel
from pipeline.llm.request_form import locate
from schemas.llm_config import EndpointConfig, LimitsConfig, LlmConfig, RoleModelConfig
from schemas.secrets import list_secrets
from tests.support.api_clients import make_endpoint, open_async, open_sync
from tests.support.fault_server import FaultServer
from tests.support.scripted_http import Said, ScriptedHttp
from tests.support.scripted_model import make_request

COUNTING = """
import pathlib, sys
runs = pathlib.Path(sys.argv[1])
number = int(runs.read_text()) + 1 if runs.exists() else 1
runs.write_text(str(number))
print(sys.argv[2].replace("N", str(number)))
"""
"""A command that counts its runs and prints a key with the count in it."""


def count_with(runs: Path, output: str = "secret-token-N") -> list[str]:
    return [sys.executable, "-c", COUNTING, str(runs), output]


def make_jwt(expires: float) -> str:
    parts = ({"alg": "none"}, {"exp": expires})
    written = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join([*written, "signature"])


def list_auth(**endpoint: Any) -> tuple[str, dict[str, str]]:
    """Path and credentials of a request, the same from both clients."""
    paths: list[str] = []

    def script(request: web.Request, body: bytes, number: int) -> Said:
        paths.append(str(request.rel_url))
        return Said()

    with ScriptedHttp(script) as server:
        url = server.url + endpoint.pop("base", "/v1")
        path = locate(make_endpoint(url, **endpoint)[0], "/chat/completions", "a model")

        async def run() -> None:
            async with open_async(url, **endpoint) as client:
                await client.request(path, b"{}")

        asyncio.run(run())
        with open_sync(url, **endpoint) as client:
            client.request(path, {})
    names = {"authorization", "api-key", "x-title"}
    first, second = ({name: headers[name] for name in names & headers.keys()} for headers in server.headers)
    assert first == second
    assert paths[0] == paths[1]
    return paths[0], first


@pytest.mark.parametrize(
    ("endpoint", "headers"),
    [
        ({"key": "sk-mine-1"}, {"authorization": "Bearer sk-mine-1"}),
        ({}, {}),
        (
            {"headers": {"Authorization": "Token ${A}", "X-Title": "me"}, "variables": {"A": "abcdef"}},
            {"authorization": "Token abcdef", "x-title": "me"},
        ),
        ({"key_command": ["printf", "printed-1"]}, {"authorization": "Bearer printed-1"}),
        ({"key": "azure-1", "api_version": "2024-10-21"}, {"api-key": "azure-1"}),
        ({"key_command": ["printf", "printed-1"], "api_version": "v"}, {"authorization": "Bearer printed-1"}),
        ({"headers": {"api-key": "${A}"}, "variables": {"A": "abcdef"}, "api_version": "v"}, {"api-key": "abcdef"}),
        ({"api_version": "v"}, {}),
    ],
)
def test_a_server_gets_its_credentials_where_it_looks_for_them(
    endpoint: dict[str, Any], headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_AD_TOKEN"):
        monkeypatch.setenv(name, "ambient")
    assert list_auth(**endpoint)[1] == headers


@pytest.mark.parametrize("key", ["", "sk-mine"])
def test_a_server_gets_its_own_key_and_nothing_that_the_environment_holds(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-ambient")
    monkeypatch.setenv("OPENAI_ORG_ID", "ambient-org")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "ambient-project")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "Authorization: Bearer ambient")

    async def run(url: str) -> None:
        async with open_async(url, key, None, 1) as way:
            await way.request("/chat/completions", b"{}")

    with ScriptedHttp(lambda request, body, number: Said()) as server:
        asyncio.run(run(f"{server.url}/v1/?api-version=2024"))
        with open_sync(f"{server.url}/v1", key, None, 5) as way:
            way.request("/completions", {})
    for headers in server.headers:
        assert headers.get("authorization") == (f"Bearer {key}" if key else None)
        assert "ambient" not in str(headers)


@pytest.mark.parametrize(
    ("base", "path"),
    [
        ("", "/openai/deployments/a%20model/chat/completions?api-version=v"),
        ("/openai", "/openai/deployments/a%20model/chat/completions?api-version=v"),
        ("/openai/deployments/mine/", "/openai/deployments/mine/chat/completions?api-version=v"),
        ("/openai/v1", "/openai/v1/chat/completions?api-version=v"),
    ],
)
def test_azure_is_asked_at_its_deployments(base: str, path: str) -> None:
    assert list_auth(base=base, key="azure-1", api_version="v")[0] == path


def test_a_rejected_key_is_replaced_once(tmp_path: Path) -> None:
    accepted = {"Bearer secret-token-2", "Bearer secret-token-3"}

    def script(request: web.Request, body: bytes, number: int) -> Said:
        return Said() if request.headers["authorization"] in accepted else Said(401, b"expired")

    async def run(url: str) -> None:
        async with open_async(url, connections=8, key_command=count_with(tmp_path / "runs")) as client:
            await asyncio.gather(*(client.request("/x", b"{}") for _ in range(8)))
            assert (tmp_path / "runs").read_text() == "2"
            accepted.clear()
            with pytest.raises(HttpStatusError) as caught:
                await client.request("/x", b"{}")
            assert caught.value.status == 401

    with ScriptedHttp(script) as server:
        asyncio.run(run(server.url))
        (tmp_path / "runs").unlink()
        accepted.add("Bearer secret-token-2")
        with open_sync(server.url, key_command=count_with(tmp_path / "runs")) as client:
            assert client.request("/x") == b"{}"
            assert client.request("/x") == b"{}"
    assert (tmp_path / "runs").read_text() == "2"


def test_a_key_is_replaced_before_it_expires(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    endpoint: dict[str, Any] = {
        "key_command": count_with(tmp_path / "runs", json.dumps({"access_token": "N", "expires_in": 3600}))
    }
    _, credentials = make_endpoint("http://127.0.0.1:1", **endpoint)
    for later, key in [(0, "1"), (3000, "1"), (3500, "2")]:
        monkeypatch.setattr(time, "time", lambda later=later: now + later)
        assert credentials.read_key() == key
    _, aging = make_endpoint("http://127.0.0.1:1", key_command=["date", "+%s%N"], key_seconds=60)
    monkeypatch.setattr(time, "time", lambda: now)
    first = aging.read_key()
    assert aging.read_key() == first
    monkeypatch.setattr(time, "time", lambda: now + 61)
    assert aging.read_key() != first


@pytest.mark.parametrize(
    ("output", "key", "expires"),
    [
        ("abc\n", "abc", None),
        (make_jwt(2e9), make_jwt(2e9), 2e9),
        ("a.b.c", "a.b.c", None),
        ('{"accessToken": "k", "expiresOn": "2030-01-01 00:00:00+00:00"}', "k", 1893456000.0),
        ('{"access_token": "k", "expires_on": "1893456000"}', "k", 1893456000.0),
        ('{"token": "k"}', "k", None),
        ('{"token": 1}', "", None),
        ("{broken", "", None),
        ("", "", None),
    ],
)
def test_a_key_is_read_with_its_expiry(output: str, key: str, expires: float | None) -> None:
    assert read_key_output(output) == (key, expires)


@pytest.mark.parametrize(
    "command",
    [
        ["false"],
        ["no-such-command-here"],
        ["true"],
        ["echo", "two words"],
        ["sh", "-c", "echo sk-secret-12345 >&2; exit 3"],
    ],
)
def test_a_command_that_gives_no_key_stops_the_run_and_is_named(command: list[str]) -> None:
    async def run(url: str) -> list[Any]:
        model = OpenAiChatModel(make_config(url, key_command=command), {})
        try:
            return await asyncio.gather(*(model.ask(make_request(f"q{n}")) for n in range(3)), return_exceptions=True)
        finally:
            await model.close()

    with FaultServer() as server:
        errors = asyncio.run(run(server.url))
    assert all(isinstance(error, EndpointError) and "key_command" in error.fix for error in errors)
    assert not server.asked
    assert "sk-secret" not in str(errors)


def make_config(url: str, **endpoint: Any) -> LlmConfig:
    return LlmConfig(
        endpoints={"e": EndpointConfig(url=url, **endpoint)},
        roles={"default": RoleModelConfig(model="m")},
        limits=LimitsConfig(tries=1),
    )


@pytest.mark.parametrize("status", [400, 401, 404, 503])
def test_no_secret_shows_where_a_server_repeats_it(status: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    def script(request: web.Request, body: bytes, number: int) -> Said:
        return Said(status, repr(sorted(request.headers.items())).encode())

    async def run(url: str) -> Any:
        config = make_config(url, key_command=["printf", "hidden-value-1"], headers={"X-Org": "id ${ORG}"})
        model = OpenAiChatModel(config, {"ORG": "hidden-value-2"})
        try:
            return (await asyncio.gather(model.ask(make_request("q")), return_exceptions=True))[0]
        finally:
            await model.close()

    with ScriptedHttp(script) as server:
        error = asyncio.run(run(server.url))
        assert all(headers["authorization"] == "Bearer hidden-value-1" for headers in server.headers)
        assert all(headers["x-org"] == "id hidden-value-2" for headers in server.headers)
    assert isinstance(error, Exception)
    assert "hidden-value" not in f"{error} {error.__cause__} {caplog.text}"


def test_what_cannot_be_a_header_or_is_not_set_is_refused() -> None:
    for endpoint in ({"key": "K", "key_command": ["true"]}, {"headers": {"a b": "c"}}, {"headers": {"a": "b\nc"}}):
        with pytest.raises(ValidationError):
            EndpointConfig(url="http://127.0.0.1:1", **endpoint)
    with pytest.raises(ConfigError) as caught:
        make_endpoint("http://127.0.0.1:1", headers={"X-Org": "${NOT_SET}"})
    assert "NOT_SET" in caught.value.fix


def test_a_secret_header_names_a_variable() -> None:
    assert not list(
        list_secrets({"headers": {"api-key": "${MY_KEY}", "Authorization": "Basic ${PAIR}", "X-Title": "a"}})
    )
    assert list(list_secrets({"headers": {"api-key": "abc"}}))
    assert list(list_secrets({"headers": {"Authorization": "Bearer ${A} and-more"}}))
