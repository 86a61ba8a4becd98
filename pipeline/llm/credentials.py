"""Credentials of one model server: its key, fixed or printed by a command, and headers of the user's own.

Guarantees: a key that expires is replaced before it does, and once for each refusal; secrets are in no message, also
where a server or a command repeats them.
"""

from __future__ import annotations

import base64
import binascii
import json
import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from pipeline.errors import ConfigError
from pipeline.http.errors import read_detail
from pipeline.llm.chat_model import EndpointError
from schemas.llm_config import REFERENCE, EndpointConfig

COMMAND_SECONDS = 60.0
MARGIN_SECONDS = 120.0
"""A key is replaced so long before it expires."""
SHORTEST_USE = 30.0
"""A key that the command gives with less time left is used for so long nevertheless."""
TOKEN_KEYS = ("access_token", "accessToken", "token", "id_token", "key")
EXPIRY_KEYS = ("expires_on", "expiresOn", "expires_at", "expiry", "expiration", "token_expiry")
SHORTEST_SECRET = 6
"""Shorter values are not looked for in messages: they are in any text."""


class Credentials:
    """Key and headers of an endpoint. Callable from any thread."""

    def __init__(self, name: str, endpoint: EndpointConfig, variables: Mapping[str, str]) -> None:
        """`variables`: values of the environment. Raises ConfigError for one that is not set or cannot be a header."""
        for variable in endpoint.variables:
            _check_value(name, variable, variables.get(variable, ""))
        self._name = name
        self._endpoint = endpoint
        self._key = variables[endpoint.key] if endpoint.key else ""
        self._use_until = 0.0
        self._lock = threading.Lock()
        self._fixed_secrets = [variables[variable] for variable in endpoint.variables]
        self.headers = {
            header: REFERENCE.sub(lambda match: variables[match[1]], value)
            for header, value in endpoint.headers.items()
        }
        """Those of the configuration, variables filled in."""

    @property
    def is_due(self) -> bool:
        """Whether the key has to be read from the command before it is used."""
        return bool(self._endpoint.key_command) and time.time() >= self._use_until

    def read_key(self) -> str:
        """The key, empty for none. Raises EndpointError where the command gives none."""
        if self.is_due:
            with self._lock:
                if self.is_due:  # not read meanwhile by another thread
                    self._run_command()
        return self._key

    def discard(self, key: str) -> bool:
        """Have a refused key replaced before the next use; False for one that stays as it is."""
        if not self._endpoint.key_command:
            return False
        with self._lock:
            if key == self._key:
                self._use_until = 0.0
        return True

    def redact(self, content: bytes) -> bytes:
        """A message without the secrets."""
        for secret in (self._key, *self._fixed_secrets):
            if len(secret) >= SHORTEST_SECRET:
                content = content.replace(secret.encode(), b"(key)")
        return content

    def _run_command(self) -> None:
        command = self._endpoint.key_command
        try:
            ran = subprocess.run(  # noqa: S603 - the user's own command, without a shell
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMAND_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            cause = "does not end" if isinstance(error, subprocess.TimeoutExpired) else f"{error.strerror}"
            raise self._explain(f"{command[0]}: {cause}") from None
        if ran.returncode:
            last = read_detail(b" ".join(ran.stderr.strip().splitlines()[-1:]))
            raise self._explain(f"{command[0]} ended with code {ran.returncode}: {last}")
        key, expires = read_key_output(ran.stdout.decode("utf-8", "replace"))
        if not key or not (key.isascii() and key.isprintable()) or " " in key:
            raise self._explain(f"{command[0]} does not print a key")
        now = time.time()
        end = now + self._endpoint.key_seconds if expires is None else expires - MARGIN_SECONDS
        self._key, self._use_until = key, max(end, now + SHORTEST_USE)

    def _explain(self, cause: str) -> EndpointError:
        fix = f"correct llm.endpoints.{self._name}.key_command: it prints a key, or JSON with an access_token"
        return EndpointError(f"endpoint {self._name} has no key: {cause}", fix)


def _check_value(name: str, variable: str, value: str) -> None:
    if not value:
        raise ConfigError(f"endpoint {name} needs a key, and {variable} is not set", f"export {variable}=...")
    if not (value.isascii() and value.isprintable()):
        raise ConfigError(f"the value of {variable} is not a key: a header cannot hold it", f"export {variable}=...")


def read_key_output(text: str) -> tuple[str, float | None]:
    """The key that a command printed, alone or in JSON, and when it expires in seconds of the epoch, where it says."""
    text = text.strip()
    if not text.startswith("{"):
        return text, read_jwt_expiry(text)
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return "", None
    key = next((fields[name] for name in TOKEN_KEYS if isinstance(fields.get(name), str)), "")
    if isinstance(lasts := fields.get("expires_in"), int | float):
        return key, time.time() + lasts
    expires = next((_read_time(fields[name]) for name in EXPIRY_KEYS if fields.get(name)), None)
    return key, expires or read_jwt_expiry(key)


def read_jwt_expiry(token: str) -> float | None:
    """The claim `exp` of a JSON web token; None for any other key."""
    with suppress(ValueError, RecursionError, binascii.Error, AttributeError):
        payload = token.split(".")[1] if token.count(".") == 2 else ""
        expires = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))).get("exp")
        return float(expires) if isinstance(expires, int | float) else None
    return None


def _read_time(value: Any) -> float | None:
    with suppress(ValueError, TypeError, OverflowError):
        return float(value)
    with suppress(ValueError, TypeError, OverflowError):
        return datetime.fromisoformat(value).timestamp()
    return None
