"""Serving one checkpoint after another: swapped or started anew, told to others, and never the wrong model."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from flows.checks.findings import State
from flows.checks.policy import refuse_wrong_model
from flows.checks.roles import check_servers
from flows.configuration.run_config import load_config
from flows.distillation import policy_server as policy_serving
from flows.distillation.policy_server import PolicyServer
from pipeline.errors import RampforgeError
from pipeline.llm.call_journal import JournaledChatModel
from pipeline.llm.chat_model import ChatReply, ChatRequest, EndpointError
from pipeline.llm.openai_chat_model import OpenAiChatModel
from pipeline.serving.managed_server import ServerSpec
from schemas.config import RunConfig
from schemas.llm_config import LimitsConfig
from schemas.serving_config import ServingConfig, ServingMode
from tests.support.fake_vllm import install_vllm
from tests.support.scripted_http import Said, ScriptedHttp
from tests.support.tiny_policies import RIGHT, PolicyHttp, complete, in_turn, make_tokenizer, write_model

SAY = in_turn(*RIGHT)


def make_config(url: str, model: Path | None = None, **policy: Any) -> RunConfig:
    config = load_config(None, ["agents.policy=policy", "llm.roles={policy: {model: tiny}}"])
    settings = config.policy.model_copy(update={"model": str(model) if model else None, **policy})
    endpoints = load_config(None, [f'llm.endpoints={{local: {{url: "{url}/v1"}}}}']).llm.endpoints
    llm = config.llm.model_copy(update={"endpoints": endpoints, "limits": LimitsConfig(tries=2, max_wait=0.1)})
    return config.model_copy(update={"policy": settings, "llm": llm})


def ask(config: RunConfig, journal: Path, text: str = "Go: ") -> ChatReply:
    """One request of tokens through the client and a journal."""
    ids = tuple(make_tokenizer()(text)["input_ids"])
    request = ChatRequest("policy", (), stop=("</search>",), prompt_ids=ids, max_tokens=99)

    async def run() -> ChatReply:
        client = OpenAiChatModel(config.llm, {})
        with JournaledChatModel(client, journal, client.describe) as model:
            try:
                return await model.ask(request)
            finally:
                await model.close()

    return asyncio.run(run())


def test_tokens_go_in_and_out_and_into_the_journal(tmp_path: Path) -> None:
    def fault(number: int) -> Said | None:
        return {0: Said(503), 1: Said(body=b'{"choices": [{"te')}.get(number)

    with PolicyHttp(SAY, fault) as server:
        config = make_config(server.url)
        config = config.model_copy(update={"llm": config.llm.model_copy(update={"limits": LimitsConfig(max_wait=0.1)})})
        first = ask(config, tmp_path / "calls.jsonl")
        assert first.token_ids == tuple(complete(RIGHT[0], 99, ["</search>"])[0])
        assert ask(config, tmp_path / "calls.jsonl") == first
        assert (server.answered, len(server.completed)) == (1, 3)
        ask(config, tmp_path / "calls.jsonl", "Go on: ")
        assert server.answered == 2


def test_a_server_without_tokens_stops_the_run(tmp_path: Path) -> None:
    with PolicyHttp(SAY, tokens=False) as server, pytest.raises(EndpointError, match="returns no token ids") as caught:
        ask(make_config(server.url), tmp_path / "calls.jsonl")
    assert "vLLM" in caught.value.fix
    assert len(server.completed) == 1, "it is not asked again"


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ({"id": "other"}, "other instead of tiny"),
        ({"max_model_len": 100}, "100 tokens"),
        ({"root": "other"}, "other as tiny"),
    ],
)
def test_a_wrong_model_is_refused_before_any_call(tmp_path: Path, card: dict[str, Any], said: str) -> None:
    model, other = write_model(tmp_path / "model"), write_model(tmp_path / "other")
    if card.get("root"):
        card = {"root": str(other)}
        (other / "generation_config.json").write_text('{"temperature": 0.5}')
    with PolicyHttp(SAY, **card) as server, pytest.raises(EndpointError, match=said) as caught:
        refuse_wrong_model(make_config(server.url, model), tmp_path)
    assert caught.value.fix
    assert not server.completed


def test_the_right_model_is_let_pass(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model")
    for root in (str(model), "/no/such/folder/here", "owner/name"):
        with PolicyHttp(SAY, root=root, max_model_len=2048) as server:
            refuse_wrong_model(make_config(server.url, model), tmp_path)
    refuse_wrong_model(make_config("http://127.0.0.1:9", model), tmp_path)  # it may be up by the time it is needed


@pytest.mark.parametrize(("tokens", "another"), [(b"[1, 2]", True), (b"[]", False)])
def test_another_tokenizer_is_refused(tmp_path: Path, tokens: bytes, another: bool) -> None:
    model = write_model(tmp_path / "model")
    with PolicyHttp(SAY) as server:
        inner: Callable[..., Said] = server.script

        def script(request: Any, body: bytes, number: int) -> Said:
            said = Said(body=b'{"tokens": %s}' % tokens)  # llama.cpp gives none to a request that is not of its shape
            return said if request.path == "/tokenize" else inner(request, body, number)

        server.script = script
        with pytest.raises(EndpointError, match="another tokenizer") if another else nullcontext():
            refuse_wrong_model(make_config(server.url, model), tmp_path)


def test_a_server_without_token_ids_is_found_at_the_start(tmp_path: Path) -> None:
    refusal = Said(422, b'{"error": {"message": "Unexpected fields in the request: {\'return_token_ids\'}"}}')
    with PolicyHttp(SAY, lambda number: refusal) as server:
        findings = check_servers(
            make_config(server.url, write_model(tmp_path / "model")), tmp_path, ["policy"]
        ).findings
    told = {finding.subject: finding for finding in findings}["role policy"]
    assert told.state is State.FAIL
    assert "return_token_ids" in told.detail


def test_external_servers_reload(tmp_path: Path) -> None:
    first, second = write_model(tmp_path / "r1"), write_model(tmp_path / "r2", b"more")
    with PolicyHttp(SAY, root=str(tmp_path)) as server:
        told: list[dict[str, str]] = []

        def hook(request: Any, body: bytes, number: int) -> Said:
            told.append(json.loads(body))
            return Said(500, b"out of memory") if "r2" in told[-1]["model"] else Said()

        with (
            ScriptedHttp(hook) as reloader,
            PolicyServer(make_config(server.url, reload=reloader.url), tmp_path, tmp_path / "logs") as policy,
        ):
            config = policy.serve(first)
            assert (config.policy.model, told) == (str(first), [{"model": str(first), "name": "tiny"}])
            with pytest.raises(RampforgeError, match="out of memory"):
                policy.serve(second)


def test_folders_that_cannot_be_served_are_named(tmp_path: Path) -> None:
    with PolicyServer(make_config("http://127.0.0.1:9"), tmp_path, tmp_path / "logs") as policy:
        with pytest.raises(RampforgeError, match="not a model folder"):
            policy.serve(tmp_path)
        bare = write_model(tmp_path / "bare")
        for path in bare.glob("*token*"):
            path.unlink()
        with pytest.raises(RampforgeError, match="tokenizer"):
            policy.serve(bare)


@pytest.fixture
def fake_vllm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers of ours are the stand-in, which cannot exchange its weights."""
    place = install_vllm(tmp_path / "site")

    def build(serving: ServingConfig, cache: Path) -> ServerSpec:
        variables = {"PYTHONPATH": str(place), **serving.variables}
        return ServerSpec(Path(sys.executable), str(serving.model), str(serving.name), variables=variables)

    monkeypatch.setattr(policy_serving, "build_spec", build)


def test_our_own_server_is_started_anew_where_it_cannot_swap(tmp_path: Path, fake_vllm: None) -> None:
    first, second = write_model(tmp_path / "r1"), write_model(tmp_path / "r2", b"more")
    config = make_config("http://127.0.0.1:9")
    config = config.model_copy(
        update={"serving": ServingConfig(mode=ServingMode.MANAGED, model="any", roles=("policy",))}
    )
    with PolicyServer(config, tmp_path, tmp_path / "logs") as policy:
        served = policy.serve(first)
        assert served.serving.mode is ServingMode.EXTERNAL
        assert served.llm.endpoints["managed"].roles == ("policy",)
        assert "--served-model-name tiny" in (first / "start-0").read_text()
        again = policy.serve(second)
        assert (second / "start-0").exists()
        assert again.policy.model == str(second)
        policy.stop()
        policy.serve(second)
        assert (second / "start-1").exists()
