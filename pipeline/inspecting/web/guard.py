"""Access control: only the browser of the user who started the server.

Guarantees: a request for another host name (DNS rebinding), from a page of another origin, or without the token is
refused before anything is read; every response forbids scripts, styles, frames and requests of other origins.

The token is part of the URL that is printed at the start; the first visit turns it into a cookie that scripts cannot
read and that requests of other sites do not carry.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import SplitResult, parse_qs, quote, urlsplit

from fastapi.responses import PlainTextResponse, RedirectResponse

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
UNWRITABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffd\\]")
"""Includes U+FFFD, which servers substitute for bytes that are not UTF-8."""
MAX_PATH = 4096
"""Longer paths fit neither a header nor a file name."""
OWN_SITES = frozenset({b"same-origin", b"none"})
HEADERS: Mapping[bytes, bytes] = {
    b"content-security-policy": (
        b"default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; "
        b"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"same-origin",  # with `no-referrer` browsers send `Origin: null` with forms of these pages
    b"cross-origin-resource-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"cache-control": b"no-store",
}


class Guard:
    """Middleware that admits permitted requests only."""

    def __init__(self, app: App, token: str) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http":
            await self._choose_app(scope)(scope, receive, _add_headers(send))

    def _choose_app(self, scope: Scope) -> App:
        """The application, a refusal, or the redirect that turns the token into a cookie."""
        headers = dict(scope["headers"])
        if fault := find_fault(headers):
            return PlainTextResponse(fault, 403)
        if UNWRITABLE.search(scope["path"]) or len(scope["path"]) > MAX_PATH:
            return PlainTextResponse("a path is short UTF-8 without control characters or backslashes", 400)
        token = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        cookie = f"rampforge-{scope['server'][1]}" if scope.get("server") else "rampforge"
        if token and self._is_valid(token):
            path = "/" + quote(scope["path"].lstrip("/\\"), safe="/")  # `//host` would lead elsewhere
            setting = f"{cookie}={self._token}; HttpOnly; SameSite=Strict; Path=/"
            return RedirectResponse(path, 303, {"set-cookie": setting})
        if self._is_valid(_read_cookie(headers, cookie)):
            return self._app
        return PlainTextResponse("a token is needed: open the address that `rampforge inspect --web` printed", 403)

    def _is_valid(self, token: str) -> bool:
        return hmac.compare_digest(token.encode("utf-8", "replace"), self._token.encode())


def find_fault(headers: Mapping[bytes, bytes]) -> str | None:
    """The reason to refuse a request, or None."""
    host = headers.get(b"host", b"").decode("latin-1")
    if _split(f"//{host}").hostname not in HOSTS:
        return "this page answers to 127.0.0.1 and localhost only"
    if headers.get(b"sec-fetch-site", b"none") not in OWN_SITES:
        return "requests from other sites are refused; open the address yourself"
    origin = headers.get(b"origin")
    if origin is not None and _split(origin.decode("latin-1")).netloc != host:
        return "requests from other origins are refused"
    return None


def _split(address: str) -> SplitResult:
    """Return the parts of an address; of one that cannot be read, empty parts, which belong to no host."""
    try:
        return urlsplit(address)
    except ValueError:
        return urlsplit("")


def _read_cookie(headers: Mapping[bytes, bytes], name: str) -> str:
    jar: SimpleCookie = SimpleCookie()
    try:
        jar.load(headers.get(b"cookie", b"").decode("latin-1"))
    except CookieError:
        return ""
    return jar[name].value if name in jar else ""


def _add_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *HEADERS.items()]
        await send(message)

    return send_with_headers
