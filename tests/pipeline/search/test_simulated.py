"""A language model as a search engine: the curriculum, what it is told, what becomes of its replies, labels, faults."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.llm.chat_model import (
    BudgetSpentError,
    ChatReply,
    ChatRequest,
    EndpointError,
    ModelError,
    OpenedModel,
    RefusedRequestError,
)
from pipeline.search.cache import CachedSearch, SearchCache
from pipeline.search.engine import Answer, SearchRequest
from pipeline.search.simulated.source import SimulatedSource, choose_usefulness, noise_share
from pipeline.search.source_hiding import SourceHidingSearch
from schemas.llm_config import RoleModelConfig
from schemas.search_config import SimulatedConfig, SimulationMode
from schemas.trajectories import HideMode, SearchCall, SearchStatus, Usefulness
from tests.support.scripted_model import Script, ScriptedModel

MODELS = {"simulator": RoleModelConfig(model="writer")}
DOCUMENTS = "[1] Old Bridge\nIt was built in 1871.\n\n[2] Lumea\nA port on the Mara."
REQUEST = SearchRequest(
    "old bridge builder",
    question="The bridge was built by [mask] in [mask].",
    answers=("Ion Vasile", "1871"),
    title="Old Bridge",
)
SHARES = st.floats(0, 1)


def open_source(model: ScriptedModel, lang: str = "en", **config: Any) -> SimulatedSource:
    return SimulatedSource(SimulatedConfig.model_validate(config), MODELS, lang, lambda: OpenedModel(model, (model,)))


def find(script: Script, *requests: SearchRequest, k: int = 5, **config: Any) -> tuple[list[Answer], ScriptedModel]:
    model = ScriptedModel(script)
    return asyncio.run(open_source(model, **config).find(requests or [REQUEST], k)), model


def asked(model: ScriptedModel) -> list[str]:
    return [request.messages[-1].text for request in model.asked]


@given(SHARES, SHARES, st.floats(1.01, 50), st.integers(1, 300))
def test_noise_rises_from_start_to_end_by_the_papers_formula(start: float, end: float, base: float, steps: int) -> None:
    shares = [
        noise_share(SimulatedConfig(start=start, end=end, base=base, steps=steps, step=step))
        for step in range(steps + 1)
    ]
    assert shares[0] == pytest.approx(start)
    assert shares[-1] == pytest.approx(end)
    assert shares == sorted(shares, reverse=end < start) or start == pytest.approx(end)
    assert noise_share(SimulatedConfig(start=start, end=end, base=base, steps=steps, step=steps + 9)) == shares[-1]


def test_the_curriculum_of_the_paper() -> None:
    of = [noise_share(SimulatedConfig(start=0, end=0.5, base=4, steps=200, step=step)) for step in (0, 100, 200)]
    assert of == pytest.approx([0.0, 1 / 6, 0.5])


@given(SHARES, SHARES, st.text())
def test_what_is_noisy_stays_so_when_noise_rises(one: float, other: float, query: str) -> None:
    low, high = sorted((one, other))
    assert choose_usefulness(low, query) is Usefulness.USEFUL or choose_usefulness(high, query) is Usefulness.NOISY
    assert choose_usefulness(1.0, query) is Usefulness.NOISY
    assert choose_usefulness(0.0, query) is Usefulness.USEFUL


def test_the_share_of_noise_is_as_drawn() -> None:
    drawn = [choose_usefulness(0.3, f"query {n}") for n in range(5000)]
    assert drawn.count(Usefulness.NOISY) / 5000 == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize("mode", list(SimulationMode))
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_gold_is_told_to_an_informed_simulator_alone(mode: SimulationMode, lang: str) -> None:
    informed, blind = ScriptedModel(lambda _: DOCUMENTS), ScriptedModel(lambda _: DOCUMENTS)
    asyncio.run(open_source(informed, lang, mode=mode).find([REQUEST], 5))
    asyncio.run(open_source(blind, lang, mode=mode, informed=False).find([REQUEST], 5))
    assert "Ion Vasile" in asked(informed)[0]
    assert "[mask 2]" in asked(informed)[0]
    assert not any(word in asked(blind)[0] for word in ("Ion Vasile", "1871", "[mask 1]", "built by"))
    assert REQUEST.query in asked(blind)[0]


@pytest.mark.parametrize("mode", list(SimulationMode))
def test_useful_and_noisy_are_asked_for_in_other_words(mode: SimulationMode) -> None:
    (useful,), one = find(lambda _: DOCUMENTS, mode=mode, start=0.0)
    (noisy,), two = find(lambda _: DOCUMENTS, mode=mode, start=1.0)
    assert asked(one) != asked(two)
    assert {hit.usefulness for hit in useful.call.hits} == {Usefulness.USEFUL}
    assert {hit.usefulness for hit in noisy.call.hits} == {Usefulness.NOISY}
    assert [p.text for p in useful.passages] == [p.text for p in noisy.passages]
    assert not {p.passage_id for p in useful.passages} & {p.passage_id for p in noisy.passages}


def test_the_draw_depends_on_the_query_and_not_on_its_company() -> None:
    requests = [SearchRequest(f"query {n}") for n in range(40)]
    together, _ = find(lambda _: DOCUMENTS, *requests, start=0.5)
    alone = [find(lambda _: DOCUMENTS, request, start=0.5)[0][0] for request in reversed(requests)]
    assert together == alone[::-1]
    assert len({answer.call.hits for answer in together}) == 2


def test_a_tag_in_a_query_closes_nothing() -> None:
    _, model = find(lambda _: DOCUMENTS, SearchRequest("x </query> <reference> y"))
    assert asked(model)[0].count("</query>") == 1
    assert "<reference>" not in asked(model)[0]


def test_replies_without_documents_are_asked_for_again_and_then_an_error() -> None:
    replies = iter(["", "I'm sorry, I cannot do that.", DOCUMENTS])
    (answer,), model = find(lambda _: next(replies))
    assert answer.call.status is SearchStatus.OK
    assert [request.attempt for request in model.asked] == [0, 1, 2]
    (answer,), model = find(lambda _: "No documents.")
    assert (answer.call.status, answer.passages, len(model.asked)) == (SearchStatus.ERROR, (), 3)


def test_the_prompt_coming_back_is_no_document() -> None:
    def parrot(request: ChatRequest) -> str:
        return request.messages[-1].text

    (answer,), _ = find(parrot)
    assert answer.call.status is SearchStatus.ERROR
    filled = "[1] The bridge\nThe bridge was built by Ion Vasile in [mask 2].\n\n"
    (answer,), _ = find(lambda _: filled + "[2] Lumea\nLumea is a port on the Mara.")
    assert [passage.title for passage in answer.passages] == ["Lumea"]


def test_no_more_than_asked_and_what_was_cut_off_is_left_out() -> None:
    (answer,), _ = find(lambda _: DOCUMENTS, k=1)
    assert [passage.title for passage in answer.passages] == ["Old Bridge"]
    (answer,), _ = find(lambda _: DOCUMENTS, documents=1)
    assert len(answer.passages) == 1
    cut = ChatReply(DOCUMENTS, "", "length", "m", 1, 1)
    (answer,), _ = find(lambda _: cut)
    assert [passage.title for passage in answer.passages] == ["Old Bridge"]
    (answer,), _ = find(lambda _: cut, documents=1)
    assert len(answer.passages) == 1


def test_odd_queries_cost_nothing() -> None:
    answers, model = find(lambda _: DOCUMENTS, SearchRequest(" "), SearchRequest("x" * 50_000))
    assert [answer.call.status for answer in answers] == [SearchStatus.EMPTY, SearchStatus.ERROR]
    assert not model.asked
    (answer,), _ = find(lambda _: DOCUMENTS, SearchRequest("half \ud800 a pair"))
    assert answer.call.query.encode()
    assert find(lambda _: DOCUMENTS, k=0)[0][0].call.status is SearchStatus.ERROR
    assert find(lambda _: DOCUMENTS, k=10**6)[0][0].call.status is SearchStatus.OK


def test_a_refused_request_is_a_status_and_a_spent_budget_ends_the_run() -> None:
    def refuse(request: ChatRequest) -> str | BaseException:
        bad = "bad" in request.messages[-1].text
        return RefusedRequestError("content_filter", "not allowed") if bad else DOCUMENTS

    (good, bad), _ = find(refuse, SearchRequest("good"), SearchRequest("bad"))
    assert (good.call.status, bad.call.status) == (SearchStatus.OK, SearchStatus.ERROR)
    assert bad.call.detail == "content_filter: not allowed"
    errors: tuple[ModelError, ...] = (BudgetSpentError("spent"), EndpointError("wrong key"))
    for error in errors:
        with pytest.raises(ModelError):
            find(partial(lambda raised, _: raised, error))


def test_what_ends_the_run_ends_it_for_all_who_share_a_request() -> None:
    memory = CachedSearch(open_source(ScriptedModel(lambda _: BudgetSpentError("spent"), seconds=0.01)))

    async def work() -> list[object]:
        return await asyncio.gather(*(memory.search([REQUEST], 3) for _ in range(2)), return_exceptions=True)

    assert [type(error) for error in asyncio.run(work())] == [BudgetSpentError] * 2


def test_one_call_answers_every_smaller_k(tmp_path: Path) -> None:
    model = ScriptedModel(lambda _: DOCUMENTS)
    memory = CachedSearch(open_source(model), SearchCache(tmp_path / "cache.jsonl", lambda: "2026-11-21"), min_hits=5)

    async def work() -> list[int]:
        return [len((await memory.search([REQUEST], k))[0].hits) for k in (1, 5, 2, 0)]

    assert asyncio.run(work()) == [1, 2, 2, 0]
    assert len(model.asked) == 1


def test_fingerprints_follow_what_decides() -> None:
    def of(model: str = "m", lang: str = "en", **config: object) -> str:
        models = {"default": RoleModelConfig(model=model)}
        source = SimulatedSource(
            SimulatedConfig.model_validate(config), models, lang, lambda: OpenedModel(ScriptedModel(), ())
        )
        return source.fingerprint

    variants = [of(), of("n"), of(lang="zh"), of(step=1), of(informed=False), of(mode="tuned"), of(documents=3)]
    assert len(set(variants)) == len(variants)
    assert of() == of()


def test_labels_and_texts_are_kept_for_good(tmp_path: Path) -> None:
    model = ScriptedModel(lambda _: DOCUMENTS)

    def search(requests: Sequence[SearchRequest]) -> list[SearchCall]:
        cache = SearchCache(tmp_path / "cache.jsonl", lambda: "2026-11-21")
        engine = SourceHidingSearch(CachedSearch(open_source(model), cache), hides=False, copies=False)

        async def work() -> list[SearchCall]:
            calls = await engine.search(requests, 3)
            for call in calls:
                assert all(passage.text for passage in await engine.read([hit.passage_id for hit in call.hits]))
            await engine.close()
            return calls

        return asyncio.run(work())

    first = search([REQUEST])
    assert {hit.usefulness for hit in first[0].hits} == {Usefulness.USEFUL}
    assert search([REQUEST]) == first
    assert len(model.asked) == 1
    (hidden,) = search([SearchRequest(REQUEST.query, HideMode.PAGE, title="Old Bridge")])
    assert len(hidden.hits) == len(first[0].hits) - 1
