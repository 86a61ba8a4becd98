"""Perplexity over HTTP against perplexity in process: same tokens, same model, same numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from pipeline.llm.chat_model import EndpointError
from pipeline.masking import served_scorer
from pipeline.masking.perplexity import SpanContext, SpanScore
from pipeline.masking.served_scorer import ServedScorer
from schemas.llm_config import LimitsConfig
from tests.pipeline.masking.test_perplexity import list_surprisals, make_contexts, make_scorer, near
from tests.support.api_clients import open_sync
from tests.support.fake_vllm import FakeServer, open_server

CONTEXT = 512
LIMITS = LimitsConfig(max_wait=0.01, give_up=1.0)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with open_server(make_scorer(CONTEXT), CONTEXT) as fake:
        yield fake


def ask(server: FakeServer, contexts: list[SpanContext]) -> list[list[SpanScore]]:
    with ServedScorer(open_sync(server.url), "tiny", server.scorer._tokenizer, "served", limits=LIMITS) as scorer:
        return scorer.score(contexts)


def test_both_scorers_give_the_same_numbers(server: FakeServer) -> None:
    contexts = [*make_contexts(), SpanContext("T", "nothing to hide", ())]
    here = server.scorer.score(contexts)
    assert near(ask(server, contexts)) == list_surprisals(here)
    assert all(body["prompt_logprobs"] == 0 and body["max_tokens"] == 1 for body in server.bodies)


def test_numbers_do_not_depend_on_order_or_request_size(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    contexts = make_contexts() * 2
    together = ask(server, contexts)
    monkeypatch.setattr(served_scorer, "REQUEST_TOKENS", 200)
    server.bodies.clear()
    apart = ask(server, contexts[::-1])
    assert near(apart[::-1], 1e-9) == list_surprisals(together)
    assert len(server.bodies) > 3
    assert all(len(body["prompt"]) == 1 or sum(map(len, body["prompt"])) <= 200 for body in server.bodies)


def test_the_same_passages_make_the_same_requests(server: FakeServer) -> None:
    ask(server, make_contexts())
    first = sorted(map(json.dumps, server.bodies))
    server.bodies.clear()
    ask(server, make_contexts())
    assert sorted(map(json.dumps, server.bodies)) == first


def test_long_passages_are_cut_to_the_servers_context(server: FakeServer) -> None:
    server.context = 80
    local = make_scorer(context=79)  # one token is left to the completion
    assert near(ask(server, make_contexts())) == list_surprisals(local.score(make_contexts()))


@pytest.mark.parametrize("unlisted", [None, 404, 500])
def test_a_server_that_lists_no_model_is_asked_all_the_same(unlisted: int | None, server: FakeServer) -> None:
    server.lists, server.unlisted = False, unlisted
    assert near(ask(server, make_contexts())) == list_surprisals(server.scorer.score(make_contexts()))


def test_passing_faults_cost_nothing(server: FakeServer) -> None:
    server.faults = [503, 429, b'{"choices": [', 500]
    assert near(ask(server, make_contexts())) == list_surprisals(server.scorer.score(make_contexts()))


def test_what_never_helps_is_one_clear_error(server: FakeServer) -> None:
    for status, said, fix in ((400, b"no", "doctor"), (422, b"Unexpected fields: {'prompt_logprobs'}", "vLLM")):
        server.faults = [(status, said)]
        with pytest.raises(EndpointError, match="refuses to score") as caught:
            ask(server, make_contexts())
        assert fix in caught.value.fix
    server.faults = [500] * 2000
    with pytest.raises(EndpointError, match="no answer"):
        ask(server, make_contexts()[:1])
    server.faults.clear()
    server.with_logprobs = False
    with pytest.raises(EndpointError, match="prompt_logprobs"):
        ask(server, make_contexts())
    with pytest.raises(EndpointError, match="huge is not served here, but tiny"):
        ServedScorer(open_sync(server.url), "huge", server.scorer._tokenizer, "served")
