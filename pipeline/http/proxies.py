"""Proxies of URLs, and HTTP clients that use them.

Contract: a configured proxy is used; without one, those of the environment apply (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY,
NO_PROXY), except for this machine itself, which is always reached directly. Certificates are checked against the
system's store or SSL_CERT_FILE.
"""

from __future__ import annotations

import ipaddress
import ssl
import urllib.request
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import httpx

from pipeline.errors import ConfigError
from schemas.locations import is_loopback

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def find_proxy(url: str, configured: str | None = None) -> str | None:
    """The proxy for a URL, None for a direct connection. `configured`: the proxy in the configuration.

    Raises ConfigError for a SOCKS proxy, and for an invalid URL.
    """
    try:
        proxy = configured or _find_in_environment(url)
    except ValueError as error:
        raise ConfigError(f"{url} is not a valid server URL ({error})", "correct its url") from None
    if proxy is None:
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if not proxy.lower().startswith(("http://", "https://")):
        host = urlsplit(url).hostname
        raise ConfigError(
            f"{host} would be reached through a {urlsplit(proxy).scheme} proxy, and only HTTP proxies are supported",
            f"name an HTTP proxy in HTTPS_PROXY, or add {host} to NO_PROXY",
        )
    return proxy


def _find_in_environment(url: str) -> str | None:
    if is_loopback(url):
        return None
    parts, proxies = urlsplit(url), urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or urllib.request.proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    return None if _is_in_excluded_network(parts.hostname or "", proxies.get("no", "")) else proxy


def _is_in_excluded_network(host: str, excluded: str) -> bool:
    """Whether an address is in a network of NO_PROXY, such as 10.0.0.0/8."""
    with suppress(ValueError):
        address = ipaddress.ip_address(host)
        for entry in excluded.split(","):
            with suppress(ValueError):
                if address in ipaddress.ip_network(entry.strip(), strict=False):
                    return True
    return False


def open_client(url: str, proxy: str | None = None, **options: Any) -> httpx.Client:
    """A client for the server of one URL. `proxy`: the proxy in the configuration. Raises ConfigError."""
    return httpx.Client(trust_env=False, proxy=find_proxy(url, proxy), verify=ssl.create_default_context(), **options)


def exempt_loopback(environment: MutableMapping[str, str]) -> None:
    """Exempt this machine in NO_PROXY, for libraries that read it."""
    excluded = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    names = [name.strip() for name in excluded.split(",") if name.strip()]
    value = ",".join(dict.fromkeys([*names, *LOOPBACK]))
    environment.update({"no_proxy": value, "NO_PROXY": value})
