"""Who may ask: the browser of whoever started the page, and nobody else.

Promises: a request for another host name (DNS rebinding), from a page of another origin, or without the token is
refused before anything is read; every answer forbids scripts, styles, frames and requests of anyone else.

The token stands in the address that is printed at the start; the first visit turns it into a cookie that scripts
cannot read and that no other site's requests carry.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
UNWRITABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffd\\]")
"""U+FFFD is what a server makes of bytes that are not UTF-8."""
LONGEST_PATH = 4096
"""What no header or file name can hold."""
OWN_SITES = frozenset({b"same-origin", b"none"})
HEADERS: Mapping[bytes, bytes] = {
    b"content-security-policy": (
        b"default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; "
        b"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"same-origin",  # with `no-referrer` browsers send `Origin: null` along with our own forms
    b"cross-origin-resource-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"cache-control": b"no-store",
}


class Guard:
    """Stands before an application."""

    def __init__(self, app: App, token: str) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        headers = dict(scope["headers"])
        refusal = find_fault(headers)
        if refusal:
            await _refuse(send, refusal)
            return
        if UNWRITABLE.search(scope["path"]) or len(scope["path"]) > LONGEST_PATH:
            await _refuse(send, "a path is short UTF-8 without control characters or backslashes", 400)
            return
        shown = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        cookie = f"rampforge-{scope['server'][1]}" if scope.get("server") else "rampforge"
        if shown and self._fits(shown):
            await _let_in(send, scope["path"], cookie, self._token)
        elif self._fits(_read_cookie(headers, cookie)):
            await self._app(scope, receive, _add_headers(send))
        else:
            await _refuse(send, "a token is needed: open the address that `rampforge inspect --web` printed")

    def _fits(self, shown: str) -> bool:
        return hmac.compare_digest(shown.encode("utf-8", "replace"), self._token.encode())


def find_fault(headers: Mapping[bytes, bytes]) -> str | None:
    """Why a request is refused, if it is."""
    host = headers.get(b"host", b"").decode("latin-1")
    if _hostname(f"//{host}") not in HOSTS:
        return "this page answers to 127.0.0.1 and localhost only"
    if headers.get(b"sec-fetch-site", b"none") not in OWN_SITES:
        return "requests from other sites are refused; open the address yourself"
    origin = headers.get(b"origin")
    if origin is not None and urlsplit(origin.decode("latin-1")).netloc != host:
        return "requests from other origins are refused"
    return None


def _hostname(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


def _read_cookie(headers: Mapping[bytes, bytes], name: str) -> str:
    jar: SimpleCookie = SimpleCookie()
    try:
        jar.load(headers.get(b"cookie", b"").decode("latin-1"))
    except CookieError:
        return ""
    return jar[name].value if name in jar else ""


async def _let_in(send: Send, path: str, cookie: str, token: str) -> None:
    """Keep the token as a cookie and go to the same address without it."""
    clean = "/" + quote(path.lstrip("/\\"), safe="/")  # `//host` would lead elsewhere
    value = f"{cookie}={token}; HttpOnly; SameSite=Strict; Path=/"
    headers = [(b"location", clean.encode()), (b"set-cookie", value.encode()), *HEADERS.items()]
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def _refuse(send: Send, why: str, status: int = 403) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *HEADERS.items()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": why.encode()})


def _add_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *HEADERS.items()]
        await send(message)

    return send_with_headers
