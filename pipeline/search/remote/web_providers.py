"""The search services on the web that rampforge speaks to: how each is asked, and how its answer is read.

Promises: pure functions of their arguments, nothing is sent from here; keys travel in a header where the service takes
one there, else in the parameters, never in the address; a spent quota is told from a request that came too fast, and
both from an answer without results.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from pipeline.http.errors import HttpStatusError, make_status_error
from pipeline.search.remote.service import HttpRequest, ServiceReply, UnreadableSearchReplyError, says_unpaid
from pipeline.search.remote.web_results import WebResult, collect, find_list, read_object
from schemas.search_config import WebProvider

AGENT = "rampforge (client of search engines, for research)"


@dataclass(frozen=True, slots=True)
class WebQuestion:
    """One query, ready to be put to a service."""

    address: str
    """Where the service listens."""
    query: str
    count: int
    """Results wanted."""
    lang: str
    """Language code of the corpus."""
    key: str
    """The key; empty for a service without keys."""
    engine_id: str
    """Google's search engine id."""


@dataclass(frozen=True, slots=True)
class WebAdapter:
    """One service."""

    address: str
    """Where it listens; `{lang}` stands for the language."""
    key_name: str | None
    """Environment variable that usually holds its key; None where there is no key."""
    most: int
    """Results in one answer at most."""
    longest: int
    """Characters of a query at most."""
    ask: Callable[[WebQuestion], HttpRequest]
    """Makes the request."""
    read: Callable[[ServiceReply], list[WebResult]]
    """Reads the answer. Raises UnreadableReplyError, or HttpStatusError for an error that came as an answer."""
    is_quota: Callable[[HttpStatusError], bool]
    """Whether a refusal means that nothing is left to spend."""


def _says(*words: str) -> Callable[[HttpStatusError], bool]:
    """Recognises a spent quota by what the service says."""
    pattern = re.compile("|".join(words), re.IGNORECASE)
    return lambda error: error.status < 500 and (says_unpaid(error) or bool(pattern.search(error.detail)))


def _ask_serpapi(question: WebQuestion) -> HttpRequest:
    wanted = {"engine": "google", "q": question.query, "num": str(question.count), "hl": _name_lang(question.lang)}
    return HttpRequest("GET", question.address, params={**wanted, "api_key": question.key})


def _read_serpapi(reply: ServiceReply) -> list[WebResult]:
    fields = read_object(reply)
    error = fields.get("error")
    if isinstance(error, str) and "any results" not in error:  # "Google hasn't returned any results for this query."
        if "run out" in error:
            raise make_status_error(429, reply.content, {})
        raise UnreadableSearchReplyError(f"the service reports: {error[:200]}")
    if error is None and _take(fields, "search_metadata", "status") in ("Processing", "Queued", "Error"):
        raise UnreadableSearchReplyError("the service has not finished the search")
    found = find_list(fields, ("organic_results",), ("search_metadata", "error"))
    return collect((entry.get("title"), entry.get("link"), (entry.get("snippet"),)) for entry in found)


def _ask_serper(question: WebQuestion) -> HttpRequest:
    body = {"q": question.query, "num": question.count, "hl": _name_lang(question.lang)}
    headers = {"X-API-KEY": question.key, "Content-Type": "application/json"}
    return HttpRequest("POST", question.address, body=orjson.dumps(body), headers=headers)


def _read_serper(reply: ServiceReply) -> list[WebResult]:
    found = find_list(read_object(reply), ("organic",), ("searchParameters",))
    return collect((entry.get("title"), entry.get("link"), (entry.get("snippet"),)) for entry in found)


def _ask_google(question: WebQuestion) -> HttpRequest:
    wanted = {"cx": question.engine_id, "q": question.query, "num": str(question.count)}
    return HttpRequest(
        "GET",
        question.address,
        params={**wanted, "hl": _name_lang(question.lang)},
        headers={"X-goog-api-key": question.key},
    )


def _read_google(reply: ServiceReply) -> list[WebResult]:
    found = find_list(read_object(reply), ("items",), ("searchInformation", "queries"))
    return collect((entry.get("title"), entry.get("link"), (entry.get("snippet"),)) for entry in found)


def _ask_brave(question: WebQuestion) -> HttpRequest:
    lang = "zh-hans" if question.lang.startswith("zh") else question.lang
    wanted = {"q": question.query, "count": str(question.count), "search_lang": lang}
    headers = {"X-Subscription-Token": question.key, "Accept": "application/json"}
    return HttpRequest("GET", question.address, params=wanted, headers=headers)


def _read_brave(reply: ServiceReply) -> list[WebResult]:
    found = find_list(read_object(reply), ("web", "results"), ("query", "mixed"))
    entries = ((e.get("title"), e.get("url"), (e.get("description"), *_list(e.get("extra_snippets")))) for e in found)
    return collect(entries, marked_up=True)


def _ask_bing(question: WebQuestion) -> HttpRequest:
    lang = "zh-hans" if question.lang.startswith("zh") else question.lang
    wanted = {"q": question.query, "count": str(question.count), "setLang": lang, "textFormat": "Raw"}
    headers = {"Ocp-Apim-Subscription-Key": question.key}
    return HttpRequest("GET", question.address, params={**wanted, "responseFilter": "Webpages"}, headers=headers)


def _read_bing(reply: ServiceReply) -> list[WebResult]:
    found = find_list(read_object(reply), ("webPages", "value"), ("_type", "queryContext"))
    return collect((entry.get("name"), entry.get("url"), (entry.get("snippet"),)) for entry in found)


def _ask_wikipedia(question: WebQuestion) -> HttpRequest:
    search = {"generator": "search", "gsrsearch": question.query, "gsrlimit": str(question.count)}
    shown = {"prop": "extracts|info", "exintro": "1", "explaintext": "1", "exlimit": "max", "exchars": "1200"}
    form = {"format": "json", "formatversion": "2", "inprop": "url", "maxlag": "5"}
    headers = {"User-Agent": AGENT}
    return HttpRequest("GET", question.address, params={"action": "query", **search, **shown, **form}, headers=headers)


def _read_wikipedia(reply: ServiceReply) -> list[WebResult]:
    fields = read_object(reply)
    if "error" in fields:  # comes with status 200
        passes = _PASSING.search(str(_take(fields, "error", "code")))
        raise make_status_error(503 if passes else 400, reply.content, reply.headers)
    found = find_list(fields, ("query", "pages"), ("batchcomplete",))
    ranked = sorted(found, key=lambda page: rank if isinstance(rank := page.get("index"), int) else len(found) + 1)
    return collect((page.get("title"), page.get("fullurl"), (page.get("extract"),)) for page in ranked)


_PASSING = re.compile(r"maxlag|ratelimited|readonly|internal_api_error|timeout|backend-error|pool-queue")


def _take(fields: Mapping[str, Any], key: str, inner: str) -> object:
    value = fields.get(key)
    return value.get(inner) if isinstance(value, Mapping) else None


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _name_lang(lang: str) -> str:
    """The language as Google calls it."""
    return {"zh": "zh-cn", "zh-hans": "zh-cn", "zh-hant": "zh-tw"}.get(lang, lang)


ADAPTERS: Mapping[WebProvider, WebAdapter] = {
    WebProvider.SERPAPI: WebAdapter(
        address="https://serpapi.com/search.json",
        key_name="SERPAPI_API_KEY",
        most=100,
        longest=2048,
        ask=_ask_serpapi,
        read=_read_serpapi,
        is_quota=_says("run out of searches", "searches .{0,20}have run out"),
    ),
    WebProvider.SERPER: WebAdapter(
        address="https://google.serper.dev/search",
        key_name="SERPER_API_KEY",
        most=100,
        longest=2048,
        ask=_ask_serper,
        read=_read_serper,
        is_quota=_says("not enough credits"),
    ),
    WebProvider.GOOGLE: WebAdapter(
        address="https://www.googleapis.com/customsearch/v1",
        key_name="GOOGLE_API_KEY",
        most=10,
        longest=2048,
        ask=_ask_google,
        read=_read_google,
        is_quota=_says("per day", "daily ?limit"),
    ),
    WebProvider.BRAVE: WebAdapter(
        address="https://api.search.brave.com/res/v1/web/search",
        key_name="BRAVE_API_KEY",
        most=20,
        longest=400,
        ask=_ask_brave,
        read=_read_brave,
        is_quota=_says("quota_limited", "usage_limit_exceeded"),
    ),
    WebProvider.BING: WebAdapter(
        address="https://api.bing.microsoft.com/v7.0/search",
        key_name="BING_SEARCH_V7_SUBSCRIPTION_KEY",
        most=50,
        longest=1500,
        ask=_ask_bing,
        read=_read_bing,
        is_quota=_says("call volume quota"),
    ),
    WebProvider.WIKIPEDIA: WebAdapter(
        address="https://{lang}.wikipedia.org/w/api.php",
        key_name=None,
        most=20,
        longest=300,
        ask=_ask_wikipedia,
        read=_read_wikipedia,
        is_quota=says_unpaid,
    ),
}
"""Every service."""
