"""A local server that answers as the search services of the web do, in words of our own, and fails on cue."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

from schemas.search_config import WebProvider

KEY = "k3y-of-the-tests"
Page = tuple[str, str, str]
"""Title, address and text."""
PAGES: tuple[Page, ...] = (
    ("Old Bridge - Wikipedia", "https://en.wikipedia.org/wiki/Old_Bridge_(Lumea)", "A bridge over the Mara."),
    ("Ion Vasile, engineer", "https://example.org/vasile", "Ion Vasile built the Old Bridge in 1871."),
    ("Mara", "https://example.org/mara?x=1&y=2", "The Mara is a river & runs south."),
)
PLACES = {"/search.json": "serpapi", "/search": "serper", "/customsearch/v1": "google", "/brave": "brave"} | {
    "/bing": "bing",
    "/w/api.php": "wikipedia",
}

BAD_KEY: dict[str, tuple[int, Any]] = {
    "serpapi": (401, {"error": f"That key, {KEY}x, is not valid."}),
    "serper": (403, {"message": "Unauthorized.", "statusCode": 403}),
    "google": (400, {"error": {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT"}}),
    "brave": (422, {"type": "ErrorResponse", "error": {"code": "SUBSCRIPTION_TOKEN_INVALID", "status": 422}}),
    "bing": (401, {"error": {"code": "401", "message": "Access denied due to a wrong subscription key."}}),
    "wikipedia": (200, {"error": {"code": "badvalue", "info": "Unrecognised value."}}),
}
QUOTA: dict[str, tuple[int, Any]] = {
    "serpapi": (429, {"error": "Your account has run out of searches."}),
    "serper": (400, {"message": "Not enough credits", "statusCode": 400}),
    "google": (
        429,
        {"error": {"code": 429, "message": "Quota exceeded for quota metric 'Queries' and limit 'Queries per day'"}},
    ),
    "brave": (429, {"type": "ErrorResponse", "error": {"code": "QUOTA_LIMITED", "status": 429}}),
    "bing": (403, {"error": {"code": "403", "message": "Out of call volume quota. Renewed in 3 days."}}),
    "wikipedia": (402, {"error": {"code": "paid", "info": "Pay first."}}),
}
THROTTLED: dict[str, tuple[int, Any]] = {
    "google": (429, {"error": {"code": 429, "message": "Quota exceeded for limit 'Queries per minute per user'"}}),
    "brave": (429, {"type": "ErrorResponse", "error": {"code": "RATE_LIMITED", "status": 429}}),
    "bing": (429, {"error": {"code": "429", "message": "Rate limit is exceeded. Try again in 1 seconds."}}),
    "wikipedia": (200, {"error": {"code": "maxlag", "info": "Waiting for a database server: 6 seconds lagged."}}),
}


def write_answer(provider: str, pages: tuple[Page, ...]) -> dict[str, Any]:
    """An answer in the service's JSON."""
    if provider == "serpapi":
        about: dict[str, Any] = {"search_metadata": {"status": "Success"}}
        listed = [{"position": n, "title": t, "link": u, "snippet": s} for n, (t, u, s) in enumerate(pages, 1)]
        return about | ({"organic_results": listed} if pages else {"error": "There hasn't been any results for it."})
    if provider == "serper":
        listed = [{"title": t, "link": u, "snippet": s, "position": n} for n, (t, u, s) in enumerate(pages, 1)]
        return {"searchParameters": {"q": "q"}, "organic": listed, "credits": 1}
    if provider == "google":
        listed = [{"title": t, "link": u, "snippet": s, "htmlSnippet": f"<b>{s}</b>"} for t, u, s in pages]
        about = {"kind": "customsearch#search", "searchInformation": {"totalResults": str(len(pages))}}
        return about | ({"items": listed} if pages else {})
    if provider == "brave":
        listed = [
            {"title": t, "url": u, "description": f"<strong>{s.replace('&', '&amp;')}</strong>", "extra_snippets": []}
            for t, u, s in pages
        ]
        return {"type": "search", "query": {"original": "q"}} | ({"web": {"results": listed}} if pages else {})
    if provider == "bing":
        listed = [{"id": str(n), "name": t, "url": u, "snippet": s} for n, (t, u, s) in enumerate(pages)]
        return {"_type": "SearchResponse", "queryContext": {}} | ({"webPages": {"value": listed}} if pages else {})
    listed = [{"pageid": n, "title": t, "index": n, "fullurl": u, "extract": s} for n, (t, u, s) in enumerate(pages, 1)]
    return {"batchcomplete": True} | ({"query": {"pages": listed[::-1]}} if pages else {})


@dataclass
class FakeWeb:
    """Counts what it was asked, and answers `pages`, or with the fault that `cue` names."""

    pages: tuple[Page, ...] = PAGES
    cues: list[str] = field(default_factory=list)
    """Faults of the next answers, one each; then `cue`."""
    cue: str = "ok"
    asked: Counter[str] = field(default_factory=Counter)
    """Queries."""
    seen: list[web.Request] = field(default_factory=list)
    by_query: dict[str, tuple[Page, ...]] = field(default_factory=dict)
    """Pages of some queries, instead of `pages`."""
    port: int = 0

    def url(self, provider: WebProvider) -> str:
        """Where it plays a service."""
        path = next(path for path, name in PLACES.items() if name == provider)
        return f"http://127.0.0.1:{self.port}{path}"

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self._thread.start()
        assert started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self, started: threading.Event) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        self._loop.run_until_complete(runner.setup())
        site = web.TCPSite(runner, "127.0.0.1", 0)
        self._loop.run_until_complete(site.start())
        self.port = runner.addresses[0][1]
        started.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        provider = PLACES[request.path]
        body = json.loads(await request.text() or "{}")
        query = body.get("q") or request.query.get("q") or request.query["gsrsearch"]
        self.asked[query] += 1
        self.seen.append(request)
        cue = self.cues.pop(0) if self.cues else self.cue
        key = request.query.get("api_key") or next(
            (v for k, v in request.headers.items() if "key" in k.lower() or "token" in k.lower()), ""
        )
        if cue == "bad key" or (provider != "wikipedia" and key != KEY):
            return self._say(*BAD_KEY[provider])
        if cue == "quota":
            return self._say(*QUOTA[provider])
        if cue == "throttle":
            status, said = THROTTLED.get(provider, (429, {"message": "too many requests"}))
            return self._say(status, said, {"Retry-After": "0.05"})
        if cue == "html":
            return web.Response(text="<html><body>Please sign in</body></html>", content_type="text/html")
        if cue == "500":
            return self._say(500, {"message": f"broken, you sent {key}"})
        if cue == "half":  # the connection stays open, the rest never comes
            response = web.StreamResponse(headers={"Content-Length": "4000"})
            await response.prepare(request)
            await response.write(b'{"organic": [')
            await asyncio.sleep(30)
        pages = () if cue == "empty" else self.by_query.get(query, self.pages)
        return self._say(200, write_answer(provider, pages))

    @staticmethod
    def _say(status: int, said: Any, headers: dict[str, str] | None = None) -> web.Response:
        return web.json_response(said, status=status, headers=headers)
