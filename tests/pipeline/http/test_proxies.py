"""One place decides on proxies: this machine never, elsewhere what is named, then what the environment names."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.checks.endpoints import list_models
from flows.search_engines.remote import probe_server
from pipeline.errors import ConfigError
from pipeline.http.proxies import exempt_loopback, find_proxy, open_client
from pipeline.llm.chat_model import ChatRequest, Message
from pipeline.llm.openai_chat_model import OpenAiChatModel
from pipeline.masking.served_scorer import ServedScorer
from pipeline.search.engine import SearchRequest
from pipeline.search.remote.web_source import WebSource
from pipeline.training.trainers.retriever import Retriever
from schemas.config import RunConfig
from schemas.llm_config import LimitsConfig, LlmConfig
from schemas.locations import is_loopback
from schemas.search_config import SearchServiceConfig, WebConfig
from schemas.training import SearchEndpoint
from schemas.trajectories import SearchStatus
from tests.pipeline.masking.test_perplexity import make_tokenizer
from tests.support.api_clients import open_sync
from tests.support.command_line import rampforge
from tests.support.fault_server import FaultServer
from tests.support.sample_dump import write_dump
from tests.support.scripted_http import Said, ScriptedHttp

NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
DEAD = "http://127.0.0.1:9"
FAR = "http://far.invalid"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def dead_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes through a proxy fails."""
    for name in NAMES[:3]:
        monkeypatch.setenv(name, DEAD)


@given(st.integers(0, 255), st.integers(0, 255), st.integers(1, 65535), st.sampled_from(["http", "https"]))
def test_all_addresses_of_this_machine_are_told(third: int, last: int, port: int, scheme: str) -> None:
    assert is_loopback(f"{scheme}://127.{third}.0.{last}:{port}/v1")
    assert not is_loopback(f"{scheme}://128.{third}.0.{last}:{port}/v1")


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://localhost:8000", True),
        ("http://LOCALHOST/v1", True),
        ("http://api.localhost/v1", True),
        ("http://[::1]:8000/v1", True),
        ("http://0.0.0.0:8000", True),
        ("http://localhost.example/v1", False),
        ("http://10.0.0.1/v1", False),
    ],
)
def test_names_of_this_machine(url: str, here: bool) -> None:
    assert is_loopback(url) is here


def test_the_environment_holds_elsewhere_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "proxy.corp:3128")
    monkeypatch.setenv("https_proxy", "http://secure.corp:3129")
    monkeypatch.setenv("NO_PROXY", ".intern, 10.0.0.0/8, exact.example:8443")
    assert find_proxy("http://127.0.0.1:8000/v1") is None
    assert find_proxy("http://far.example/v1") == "http://proxy.corp:3128"
    assert find_proxy("https://far.example/v1") == "http://secure.corp:3129"
    assert find_proxy("http://llm.intern/v1") is None
    assert find_proxy("http://10.2.3.4/v1") is None
    assert find_proxy("http://11.2.3.4/v1") is not None
    assert find_proxy("https://exact.example:8443/v1") is None
    assert find_proxy("http://llm.intern/v1", "http://named:1") == "http://named:1", "what is named holds"
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.delenv("https_proxy")
    assert find_proxy("http://far.example/v1") is None


def test_a_socks_proxy_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://proxy:1080")
    with pytest.raises(ConfigError) as caught:
        find_proxy("https://far.example/v1")
    assert "NO_PROXY" in caught.value.fix
    assert find_proxy("http://localhost/v1") is None


@pytest.mark.parametrize("before", [{}, {"NO_PROXY": "a.corp, b"}, {"no_proxy": "localhost"}, {"NO_PROXY": "*"}])
def test_libraries_are_told_of_this_machine(before: dict[str, str]) -> None:
    after = dict(before)
    exempt_loopback(after)
    assert after["no_proxy"] == after["NO_PROXY"]
    entries = after["NO_PROXY"].split(",")
    assert {"127.0.0.1", "localhost", "::1"} <= set(entries)
    kept = {name.strip() for value in before.values() for name in value.split(",")}
    assert kept <= set(entries)
    exempt_loopback(again := dict(after))
    assert again == after


def ask_chat(config: LlmConfig) -> str:
    async def ask() -> str:
        model = OpenAiChatModel(config, {})
        try:
            return (await model.ask(ChatRequest("judge", (Message("user", "hello"),), max_tokens=9))).text
        finally:
            await model.close()

    return asyncio.run(ask())


def make_llm(url: str, proxy: str | None = None) -> LlmConfig:
    endpoints = {"one": {"url": url, "proxy": proxy}}
    limits = LimitsConfig(tries=1)
    return LlmConfig.model_validate({"roles": {"default": {"model": "m"}}, "endpoints": endpoints, "limits": limits})


@pytest.mark.usefixtures("dead_proxy")
def test_this_machine_is_reached_whatever_the_environment_names(tmp_path: Path) -> None:
    with FaultServer() as chat:
        assert ask_chat(make_llm(chat.url)) == "echo hello"
        assert not list_models("one", make_llm(chat.url).endpoints["one"]).silent
        with open_client(chat.url) as client:
            assert client.get(f"{chat.url}/models").status_code == 404
    with ScriptedHttp(lambda request, body, count: Said(body=b'{"engine": "e1", "data": [{"id": "m"}]}')) as server:
        config = RunConfig.model_validate({"search_service": {"url": server.url}})
        assert probe_server(config).engine == "e1"
        assert Retriever(SearchEndpoint(url=server.url))._ours
        with ServedScorer(open_sync(server.url), "m", make_tokenizer(), "m", limits=LimitsConfig(give_up=1)) as scorer:
            assert scorer.name == "m"


def test_a_far_server_is_reached_by_the_same_proxy_from_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy that the environment names, and the one that the endpoint names."""
    with FaultServer() as proxy:
        proxy.listing = 200
        address = proxy.url.removesuffix("/v1")
        assert ask_chat(make_llm(f"{FAR}/v1", address)) == "echo hello"
        assert not list_models("one", make_llm(f"{FAR}/v1", address).endpoints["one"]).silent
        monkeypatch.setenv("HTTP_PROXY", address)
        assert ask_chat(make_llm(f"{FAR}/v1")) == "echo hello"
        assert not list_models("one", make_llm(f"{FAR}/v1").endpoints["one"]).silent
        with open_client(FAR) as client:
            assert client.get(f"{FAR}/v1/models").status_code == 200
        monkeypatch.setenv("NO_PROXY", "far.invalid")
        assert list_models("one", make_llm(f"{FAR}/v1").endpoints["one"]).silent
        with pytest.raises(httpx.ConnectError), open_client(FAR) as client:
            client.get(FAR)


def test_a_web_engine_takes_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    found = b'{"batchcomplete": ""}'

    async def search(service: SearchServiceConfig) -> SearchStatus:
        source = WebSource(WebConfig(), service, "en", None)
        try:
            (answer,) = await source.find([SearchRequest("a river")], 3)
            return answer.call.status
        finally:
            await source.close()

    with ScriptedHttp(lambda request, body, count: Said(body=found)) as proxy:
        far = SearchServiceConfig(url=f"{FAR}/w/api.php", deadline=3, tries=1)
        assert asyncio.run(search(far)) is SearchStatus.ERROR
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        assert asyncio.run(search(far)) is not SearchStatus.ERROR
        assert len(proxy.headers) == 1
        monkeypatch.setenv("HTTP_PROXY", DEAD)
        here = SearchServiceConfig(url=f"{proxy.url}/w/api.php", deadline=3, tries=1)
        assert asyncio.run(search(here)) is not SearchStatus.ERROR


@pytest.mark.slow
@pytest.mark.parametrize("excluded", [None, "localhost", ".corp"])
def test_a_run_does_not_ask_the_proxy_for_its_own_prefect(tmp_path: Path, excluded: str | None) -> None:
    proxies = {"HTTP_PROXY": DEAD, "http_proxy": DEAD, "HTTPS_PROXY": DEAD, "ALL_PROXY": DEAD}
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path / "home"), "RAMPFORGE_CACHE": str(tmp_path / "cache")}
    environment |= proxies | ({"NO_PROXY": excluded} if excluded else {})
    dump = str(write_dump(tmp_path / "towns.xml.bz2", towns=4))
    light = ["masking.ner=null", "masking.scorer=null", "masking.selection=random", "execution.workers=1"]
    settings = [word for one in light for word in ("--set", one)]
    code, output = rampforge(environment, "run", dump, "--out", str(tmp_path), "--name", "run", *settings)
    assert code == 0, output
