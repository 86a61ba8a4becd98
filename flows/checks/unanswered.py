"""Causes of unanswered HTTP requests, with their fixes."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import httpx2

from pipeline.errors import RampforgeError
from pipeline.http.proxies import find_proxy

TLS_SECONDS = 5.0
START = "start the server, or correct its url"


def explain_silence(url: str, error: Exception, proxy: str | None = None) -> tuple[str, str]:
    """Return the cause and the fix; `proxy`: the one configured for this server."""
    if isinstance(error, RampforgeError):
        return error.what, error.fix
    causes = list(_list_causes(error))
    host = urlsplit(url).hostname or url
    through = find_proxy(url, proxy)
    fault = next((cause for cause in causes if isinstance(cause, httpx2.HTTPError)), error)
    if through and isinstance(fault, httpx2.ProxyError | httpx2.ConnectError | httpx2.ConnectTimeout):
        place = urlsplit(through)
        cause_text = f"the proxy {place.hostname}:{place.port or 80} cannot reach it ({error})"
        fix = f"correct the proxy (the endpoint's `proxy`, or HTTPS_PROXY), or add {host} to NO_PROXY"
        return f"{url} does not answer: {cause_text}", fix
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            fix = "set SSL_CERT_FILE to the certificate of the authority that signed it"
            return f"{url} does not answer: its certificate is not trusted ({cause.verify_message})", fix
        if isinstance(cause, ssl.SSLError):
            said = cause.reason or cause
            fix = f"write {_switch_scheme(url, 'http')}"
            return f"{url} does not answer: the server does not speak TLS there ({said})", fix
        if isinstance(cause, socket.gaierror):
            return f"{url} does not answer: unknown host name {host}", "correct its url"
        if isinstance(cause, ConnectionRefusedError):
            return f"{url} does not answer: connection refused", START
    if url.startswith("http://") and not isinstance(fault, httpx2.TimeoutException) and speaks_tls(url):
        return ask_for_tls(url)
    return f"{url} does not answer ({type(fault).__name__})", START


def ask_for_tls(url: str) -> tuple[str, str]:
    """Return the cause and the fix of an address that should use https."""
    return f"{url} does not answer: the server speaks TLS there", f"write {_switch_scheme(url, 'https')}"


def speaks_tls(url: str) -> bool:
    """Return whether a server accepts a TLS handshake at the address of a URL."""
    parts = urlsplit(url)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # nothing is sent: only the handshake counts
    try:
        with (
            socket.create_connection((parts.hostname or "", parts.port or 443), TLS_SECONDS) as connection,
            context.wrap_socket(connection, server_hostname=parts.hostname),
        ):
            return True
    except (OSError, ValueError):
        return False


def _switch_scheme(url: str, scheme: str) -> str:
    return urlunsplit(urlsplit(url)._replace(scheme=scheme))


def _list_causes(error: BaseException | None) -> Iterator[BaseException]:
    """Return an error and its causes."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
