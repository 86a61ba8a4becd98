"""Search services on the web: each one's answers and errors, over a local server that speaks their JSON."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.http.errors import HttpStatusError
from pipeline.search.cache import CachedSearch, SearchCache
from pipeline.search.engine import Answer, SearchRequest
from pipeline.search.remote.service import ServiceReply, UnreadableSearchReplyError
from pipeline.search.remote.web_providers import ADAPTERS
from pipeline.search.remote.web_results import WebResult, collect, find_article
from pipeline.search.remote.web_source import WebSource, name_key
from pipeline.search.source_hiding import SourceHidingSearch
from schemas.search_config import SearchServiceConfig, WebConfig, WebProvider
from schemas.trajectories import HideMode, SearchCall, SearchStatus
from tests.support.fake_web import KEY, PAGES, FakeWeb, write_answer

OK, EMPTY, ERROR, TIMEOUT = SearchStatus.OK, SearchStatus.EMPTY, SearchStatus.ERROR, SearchStatus.TIMEOUT
PROVIDERS = list(WebProvider)
ARTICLE = "Old Bridge (Lumea)"


@pytest.fixture
def web() -> Iterator[FakeWeb]:
    with FakeWeb() as server:
        yield server


def open_source(web: FakeWeb, provider: WebProvider, key: str = KEY, **service: object) -> WebSource:
    settings = {"url": web.url(provider), "tries": 3, "deadline": 5.0, **service}
    config = WebConfig(provider=provider, engine_id="cx1")
    return WebSource(config, SearchServiceConfig.model_validate(settings), "en", key)


def find(source: WebSource, *queries: str, k: int = 5) -> list[Answer]:
    async def work() -> list[Answer]:
        try:
            return await source.find([SearchRequest(query) for query in queries], k)
        finally:
            await source.close()

    return asyncio.run(work())


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_service_is_asked_and_read(web: FakeWeb, provider: WebProvider) -> None:
    (answer,) = find(open_source(web, provider), "old bridge builder")
    assert answer.call.status is OK
    assert [passage.title for passage in answer.passages] == [ARTICLE, PAGES[1][0], PAGES[2][0]]
    assert [passage.text for passage in answer.passages] == [text for _, _, text in PAGES]
    assert [hit.passage_id for hit in answer.call.hits] == [passage.passage_id for passage in answer.passages]
    assert [hit.score for hit in answer.call.hits] == [1.0, 1 / 2, 1 / 3]
    assert web.asked == {"old bridge builder": 1}
    assert KEY not in web.seen[0].path_qs or provider is WebProvider.SERPAPI


@pytest.mark.parametrize("provider", PROVIDERS)
def test_no_results_are_empty_and_a_spent_quota_is_an_error(web: FakeWeb, provider: WebProvider) -> None:
    web.cue = "empty"
    assert find(open_source(web, provider), "q")[0].call.status is EMPTY
    web.cue = "quota"
    first, second = find(open_source(web, provider, in_flight=1), "q1", "q2")
    assert [first.call.status, second.call.status] == [ERROR, ERROR]
    assert "quota spent" in (first.call.detail or "")
    assert "quota spent" in (second.call.detail or "")
    assert web.asked["q1"] + web.asked["q2"] == 1, "who has nothing left to spend is not asked again"


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_bad_key_is_an_error_at_once(web: FakeWeb, provider: WebProvider) -> None:
    web.cue = "bad key"
    (answer,) = find(open_source(web, provider), "q")
    assert (answer.call.status, answer.passages, web.asked["q"]) == (ERROR, (), 1)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_too_many_requests_and_passing_faults_are_tried_again(web: FakeWeb, provider: WebProvider) -> None:
    web.cues = ["throttle", "500"]
    (answer,) = find(open_source(web, provider), "q")
    assert (answer.call.status, len(answer.passages), web.asked["q"]) == (OK, 3, 3)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_pages_instead_of_json_and_half_replies_are_statuses(web: FakeWeb, provider: WebProvider) -> None:
    web.cue = "html"
    (answer,) = find(open_source(web, provider, tries=2), "q")
    assert answer.call.status is ERROR
    assert "Please sign in" in (answer.call.detail or "")
    web.cue = "half"
    (answer,) = find(open_source(web, provider, deadline=0.3, tries=2), "q")
    assert answer.call.status is TIMEOUT
    web.cues = ["half"]
    web.cue = "ok"
    assert find(open_source(web, provider, deadline=1.0), "q")[0].call.status is OK


def test_a_dead_server_is_a_status() -> None:
    with FakeWeb() as web:
        source = open_source(web, WebProvider.SERPAPI, tries=2, deadline=2.0)
    (answer,) = find(source, "q")
    assert answer.call.status in (ERROR, TIMEOUT)
    assert "api_key" not in (answer.call.detail or "")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_key_reaches_neither_a_status_nor_the_log(
    web: FakeWeb, provider: WebProvider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    web.cue = "500"
    answers = find(open_source(web, provider, tries=1, give_up=1, in_flight=1), "q1", "q2")
    web.cue = "bad key"
    answers += find(open_source(web, provider), "q3")
    assert all(answer.call.status is ERROR for answer in answers)
    assert KEY not in caplog.text + "".join(answer.call.detail or "" for answer in answers)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_odd_queries_cost_nothing(web: FakeWeb, provider: WebProvider) -> None:
    source = open_source(web, provider)
    blank, huge = find(source, " \n", "x" * 50_000)
    assert (blank.call.status, huge.call.status) == (EMPTY, ERROR)
    assert len(huge.call.query) <= 10_000
    assert find(open_source(web, provider), "q", k=0)[0].call.status is ERROR
    assert not web.asked
    assert find(open_source(web, provider), "q", k=10**6)[0].call.status is OK
    assert find(open_source(web, provider), "half \ud800 a pair", k=2)[0].call.status is OK


def test_what_is_missing_is_said_before_anything_is_asked() -> None:
    service = SearchServiceConfig()
    assert name_key(WebProvider.WIKIPEDIA, service) is None
    assert name_key(WebProvider.BRAVE, service) == "BRAVE_API_KEY"
    assert name_key(WebProvider.BRAVE, SearchServiceConfig(key="MINE")) == "MINE"
    with pytest.raises(ConfigError, match="SERPER_API_KEY is not set"):
        WebSource(WebConfig(provider=WebProvider.SERPER), service, "en", None)
    with pytest.raises(ConfigError, match="id of a search engine"):
        WebSource(WebConfig(provider=WebProvider.GOOGLE), service, "en", KEY)


def test_fingerprints_tell_services_languages_and_addresses_apart() -> None:
    def of(provider: WebProvider, lang: str, **service: object) -> str:
        config = WebConfig(provider=provider, engine_id="cx1")
        return WebSource(config, SearchServiceConfig.model_validate(service), lang, KEY).fingerprint

    base = of(WebProvider.BRAVE, "en")
    assert base == of(WebProvider.BRAVE, "en", deadline=1.0)
    others = {of(WebProvider.BING, "en"), of(WebProvider.BRAVE, "zh"), of(WebProvider.BRAVE, "en", url="http://x/y")}
    assert len(others | {base}) == 4


@pytest.mark.parametrize("hide", [HideMode.PASSAGE, HideMode.PAGE])
def test_the_source_page_is_withheld_and_answers_are_kept_for_good(
    web: FakeWeb, tmp_path: Path, hide: HideMode
) -> None:
    def search(request: SearchRequest) -> SearchCall:
        cache = SearchCache(tmp_path / "cache.jsonl", lambda: "2026-11-21")
        memory = CachedSearch(open_source(web, WebProvider.SERPAPI), cache)
        engine = SourceHidingSearch(memory, hides=False, copies=False)

        async def work() -> SearchCall:
            (call,) = await engine.search([request], 3)
            found = await engine.read([hit.passage_id for hit in call.hits])
            assert ARTICLE not in [passage.title for passage in found]
            await engine.close()
            return call

        return asyncio.run(work())

    request = SearchRequest("q", hide, "source", 7, ARTICLE, "There is a bridge over the Mara.")
    first = search(request)
    assert len(first.hits) == 2
    assert search(request) == first
    assert web.asked["q"] == 1
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"2026-11-21" in kept
    assert KEY.encode() not in kept


@pytest.mark.parametrize(
    ("url", "title"),
    [
        ("https://en.wikipedia.org/wiki/Ada_Lovelace", "Ada Lovelace"),
        ("https://en.m.wikipedia.org/wiki/AC/DC#History", "AC/DC"),
        ("https://zh.wikipedia.org/zh-cn/%E5%8C%97%E4%BA%AC", "北京"),
        ("https://en.wikipedia.org/w/index.php?title=Old_Bridge&oldid=3", "Old Bridge"),
        ("https://www.wikiwand.com/en/articles/Old_Bridge", "Old Bridge"),
        ("https://en.wikipedia.org/", ""),
        ("https://notwikipedia.org/wiki/X", ""),
        ("https://example.org/wiki/X", ""),
        ("http://[broken", ""),
        ("", ""),
    ],
)
def test_articles_are_known_by_their_address(url: str, title: str) -> None:
    assert find_article(url) == title


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["organic", "items", "web", "results", "webPages", "value", "query", "pages", "error", "title"]
            )
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON, st.sampled_from(PROVIDERS))
def test_any_json_is_results_or_a_named_error(value: object, provider: WebProvider) -> None:
    try:
        results = ADAPTERS[provider].read(ServiceReply(json.dumps(value).encode(), {}))
    except (UnreadableSearchReplyError, HttpStatusError):
        return
    assert all(isinstance(result, WebResult) and result.title and result.text for result in results)


@given(st.text(), st.text(), st.text())
def test_results_are_plain_writable_lines(title: str, url: str, text: str) -> None:
    for result in collect([(title, url, [text])] * 2, marked_up=True):
        assert (result.title + result.text).encode()
        assert not any(char in result.title + result.text for char in "\x00\n\r\t")
    assert len(collect([(title, url, [text])] * 2)) <= 1


@pytest.mark.parametrize("provider", PROVIDERS)
def test_an_error_in_an_answer_of_200_is_no_empty_list(provider: WebProvider) -> None:
    replies: tuple[object, ...] = (
        *({"message": "Forbidden"}, {"status": "ok"}, [], "sorry", {"organic": {}, "web": {"results": 3}}),
    )
    for said in replies:
        with pytest.raises(UnreadableSearchReplyError):
            ADAPTERS[provider].read(ServiceReply(json.dumps(said).encode(), {}))
    assert ADAPTERS[provider].read(ServiceReply(json.dumps(write_answer(provider, ())).encode(), {})) == []
