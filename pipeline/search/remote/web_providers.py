"""Web search services as data: the request to each, and where its reply has the results.

Guarantees: nothing is sent from here; keys are sent in a header where the service takes one there, else in a parameter,
never in the address; a spent quota is distinguished from a rate limit, and both from a reply without results.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from pipeline.http.errors import HttpStatusError, make_status_error
from pipeline.search.remote.service import HttpRequest, ServiceReply, UnreadableSearchReplyError, says_unpaid
from pipeline.search.remote.web_results import WebResult, collect, find_list, read_object
from schemas.search_config import WebProvider

AGENT = "rampforge (client of search engines, for research)"
GOOGLE_LANGS = {"zh": "zh-cn", "zh-hans": "zh-cn", "zh-hant": "zh-tw"}
"""Language codes of Google where they differ."""
TRANSIENT = re.compile(r"maxlag|ratelimited|readonly|internal_api_error|timeout|backend-error|pool-queue")
"""Error codes of MediaWiki that pass."""


@dataclass(frozen=True, slots=True)
class WebAdapter:
    """One service. In `params` and `headers` the fields of `name_fields` stand in braces."""

    address: str
    """URL; `{lang}` stands for the language."""
    key_name: str | None
    """Environment variable that usually has its key; None for a service without keys."""
    max_results: int
    """Results in one reply at most."""
    max_query_chars: int
    params: Mapping[str, str]
    count_param: str
    """Parameter for the number of results."""
    path: tuple[str, ...]
    """Keys that lead to the list of results."""
    signs: tuple[str, ...]
    """Keys that every reply has, with or without results."""
    headers: Mapping[str, str] = field(default_factory=dict)
    posts: bool = False
    """Whether the parameters are the JSON body of a POST."""
    title: str = "title"
    """Key of a result's title, and so on."""
    url: str = "link"
    texts: tuple[str, ...] = ("snippet",)
    rank: str = ""
    """Key of a result's rank, where the list is not in order."""
    marked_up: bool = False
    """Whether titles and texts are HTML."""
    check: Callable[[ServiceReply, Mapping[str, Any]], None] = lambda reply, fields: None
    """Raises the error that a reply of 200 reports."""
    quota: str = "(?!)"
    """Pattern of refusals that report a spent quota, besides those about money."""

    def write_request(self, address: str, query: str, count: int, fields: Mapping[str, str]) -> HttpRequest:
        """The request for `count` results."""
        params, headers = (
            {name: form.format(query=query, **fields) for name, form in forms.items()}
            for forms in (self.params, self.headers)
        )
        if self.posts:
            return HttpRequest("POST", address, body=orjson.dumps(params | {self.count_param: count}), headers=headers)
        return HttpRequest("GET", address, params=params | {self.count_param: str(count)}, headers=headers)

    def read(self, reply: ServiceReply) -> list[WebResult]:
        """The results in a reply. Raises UnreadableSearchReplyError, HttpStatusError for an error in a reply of 200."""
        fields = read_object(reply)
        self.check(reply, fields)
        found = find_list(fields, self.path, self.signs)
        ranked = sorted(
            found, key=lambda entry: rank if isinstance(rank := entry.get(self.rank), int) else len(found) + 1
        )
        entries = ((entry.get(self.title), entry.get(self.url), map(entry.get, self.texts)) for entry in ranked)
        return collect(entries, self.marked_up)

    def is_quota(self, error: HttpStatusError) -> bool:
        """Whether a refusal reports a spent quota."""
        spent = says_unpaid(error) or re.search(self.quota, error.detail, re.IGNORECASE) is not None
        return error.status < 500 and spent


def name_fields(lang: str, key: str, engine_id: str) -> dict[str, str]:
    """The fields of a request besides the query. `lang`: language code of the corpus; `engine_id`: of Google."""
    script = "zh-hans" if lang.startswith("zh") else lang
    return {"key": key, "engine_id": engine_id, "google_lang": GOOGLE_LANGS.get(lang, lang), "script_lang": script}


def _check_serpapi(reply: ServiceReply, fields: Mapping[str, Any]) -> None:
    error, about = fields.get("error"), fields.get("search_metadata")
    if isinstance(error, str) and "any results" not in error:  # "Google hasn't returned any results for this query."
        if "run out" in error:
            raise make_status_error(429, reply.content, {})
        raise UnreadableSearchReplyError(f"the service reports: {error[:200]}")
    status = about.get("status") if isinstance(about, Mapping) else None
    if error is None and status in ("Processing", "Queued", "Error"):
        raise UnreadableSearchReplyError("the service has not finished the search")


def _check_wikipedia(reply: ServiceReply, fields: Mapping[str, Any]) -> None:
    if "error" in fields:
        code = fields["error"].get("code") if isinstance(fields["error"], Mapping) else None
        raise make_status_error(503 if TRANSIENT.search(str(code)) else 400, reply.content, reply.headers)


ADAPTERS: Mapping[WebProvider, WebAdapter] = {
    WebProvider.SERPAPI: WebAdapter(
        address="https://serpapi.com/search.json",
        key_name="SERPAPI_API_KEY",
        max_results=100,
        max_query_chars=2048,
        params={"engine": "google", "q": "{query}", "hl": "{google_lang}", "api_key": "{key}"},
        count_param="num",
        path=("organic_results",),
        signs=("search_metadata", "error"),
        check=_check_serpapi,
        quota="run out of searches|searches .{0,20}have run out",
    ),
    WebProvider.SERPER: WebAdapter(
        address="https://google.serper.dev/search",
        key_name="SERPER_API_KEY",
        max_results=100,
        max_query_chars=2048,
        params={"q": "{query}", "hl": "{google_lang}"},
        count_param="num",
        headers={"X-API-KEY": "{key}", "Content-Type": "application/json"},
        posts=True,
        path=("organic",),
        signs=("searchParameters",),
        quota="not enough credits",
    ),
    WebProvider.GOOGLE: WebAdapter(
        address="https://www.googleapis.com/customsearch/v1",
        key_name="GOOGLE_API_KEY",
        max_results=10,
        max_query_chars=2048,
        params={"cx": "{engine_id}", "q": "{query}", "hl": "{google_lang}"},
        count_param="num",
        headers={"X-goog-api-key": "{key}"},
        path=("items",),
        signs=("searchInformation", "queries"),
        quota="per day|daily ?limit",
    ),
    WebProvider.BRAVE: WebAdapter(
        address="https://api.search.brave.com/res/v1/web/search",
        key_name="BRAVE_API_KEY",
        max_results=20,
        max_query_chars=400,
        params={"q": "{query}", "search_lang": "{script_lang}"},
        count_param="count",
        headers={"X-Subscription-Token": "{key}", "Accept": "application/json"},
        path=("web", "results"),
        signs=("query", "mixed"),
        url="url",
        texts=("description", "extra_snippets"),
        marked_up=True,
        quota="quota_limited|usage_limit_exceeded",
    ),
    WebProvider.BING: WebAdapter(
        address="https://api.bing.microsoft.com/v7.0/search",
        key_name="BING_SEARCH_V7_SUBSCRIPTION_KEY",
        max_results=50,
        max_query_chars=1500,
        params={"q": "{query}", "setLang": "{script_lang}", "textFormat": "Raw", "responseFilter": "Webpages"},
        count_param="count",
        headers={"Ocp-Apim-Subscription-Key": "{key}"},
        path=("webPages", "value"),
        signs=("_type", "queryContext"),
        title="name",
        url="url",
        quota="call volume quota",
    ),
    WebProvider.WIKIPEDIA: WebAdapter(
        address="https://{lang}.wikipedia.org/w/api.php",
        key_name=None,
        max_results=20,
        max_query_chars=300,
        params={
            **{"action": "query", "generator": "search", "gsrsearch": "{query}", "prop": "extracts|info"},
            **{"exintro": "1", "explaintext": "1", "exlimit": "max", "exchars": "1200"},
            **{"format": "json", "formatversion": "2", "inprop": "url", "maxlag": "5"},
        },
        count_param="gsrlimit",
        headers={"User-Agent": AGENT},
        path=("query", "pages"),
        signs=("batchcomplete",),
        url="fullurl",
        texts=("extract",),
        rank="index",
        check=_check_wikipedia,
    ),
}
"""Every service."""
