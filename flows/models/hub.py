"""The hub of models, asked for what it has.

Guarantee: one request of a few seconds. (huggingface_hub repeats each of its own for half a minute.)
"""

from __future__ import annotations

import os

import httpx

from pipeline.errors import AssetError
from pipeline.http.proxies import open_client

HUB = "https://huggingface.co"
HUB_SECONDS = 5.0
DESCRIPTION = "config.json"
"""File that every model on the hub has."""


def locate_hub() -> str:
    """Return the URL of the hub: `$HF_ENDPOINT`, or the public one."""
    return os.environ.get("HF_ENDPOINT", HUB).rstrip("/")


def find_silence() -> str:
    """Return why the hub cannot be asked for files; empty where it answers."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    base = locate_hub()
    try:
        with open_client(base, timeout=HUB_SECONDS) as client:
            status = client.head(base).status_code
    except httpx.HTTPError as error:
        return f"{base} does not answer ({type(error).__name__})"
    return f"{base} answers with HTTP {status}" if status >= httpx.codes.INTERNAL_SERVER_ERROR else ""


def find_on_hub(name: str, fix: str) -> str:
    """Check that the hub's cache on this machine, or the hub itself, has a model. Raises AssetError."""
    from huggingface_hub import constants, get_token, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        if isinstance(try_to_load_from_cache(name, DESCRIPTION), str):
            return "in the hub's cache on this machine"
    except HFValidationError as error:
        raise AssetError(f"{name} is not a valid model name: {error}", fix) from None
    base = locate_hub()
    if constants.HF_HUB_OFFLINE:
        raise AssetError(f"the model {name} is not in the hub's cache, and HF_HUB_OFFLINE is set", fix)
    token = get_token()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with open_client(base, timeout=HUB_SECONDS) as client:
            status = client.head(f"{base}/{name}/resolve/main/{DESCRIPTION}", headers=headers).status_code
    except httpx.HTTPError as error:
        what = f"the model {name} is not an asset, not a folder and not cached, and {base} does not answer"
        raise AssetError(f"{what} ({type(error).__name__})", fix) from None
    if status >= httpx.codes.BAD_REQUEST:
        raise AssetError(
            f"the model {name} is not an asset and not a folder, and is not on {base} (HTTP {status})", fix
        )
    return f"will be downloaded from {base}"
