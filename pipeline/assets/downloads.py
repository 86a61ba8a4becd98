"""Download of pinned files over HTTP, with resumption and a short connection timeout.

Guarantees: a returned file has the pinned hash. A partial download stays in `<sha256>.part` and is resumed by the next
attempt, in this process or a later one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import httpx

from pipeline.assets.catalogue import RemoteFile
from pipeline.storage.hashing import hash_file

log = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]
"""Callback with the name of a file, the bytes received, and the total."""

TIMEOUT = httpx.Timeout(30.0, connect=5.0)  # a firewall may drop packets, so connecting is limited
ATTEMPTS = 4  # each resumes the last one


class UnreachableError(Exception):
    """A source cannot provide the file; the next source is tried."""


def fetch_file(file: RemoteFile, folder: Path, progress: Progress) -> Path:
    """Download a file into `folder`; returns its path.

    Raises UnreachableError when the server cannot be reached, refuses, fails too often or sends other bytes.
    """
    part = folder / f"{file.sha256}.part"
    # identity: a compressed reply could not be continued by byte offset
    with httpx.Client(timeout=TIMEOUT, follow_redirects=True, headers={"Accept-Encoding": "identity"}) as client:
        for attempt in range(ATTEMPTS):
            had = measure_part(part)
            try:
                _continue_part(client, file, part, progress)
                break
            except httpx.HTTPStatusError as error:
                raise UnreachableError(f"{file.url} answered {error.response.status_code}") from error
            except httpx.HTTPError as error:
                if attempt == ATTEMPTS - 1 or measure_part(part) == had:
                    raise UnreachableError(f"{file.url}: {error or type(error).__name__}") from error
                log.info("%s broke off at byte %d of %d; continuing", file.name, measure_part(part), file.size)
    return _accept(file, part, folder / file.name)


def measure_part(part: Path) -> int:
    """Bytes received so far."""
    return part.stat().st_size if part.exists() else 0


def _continue_part(client: httpx.Client, file: RemoteFile, part: Path, progress: Progress) -> None:
    had = measure_part(part)
    if had >= file.size:
        return
    headers = {"Range": f"bytes={had}-"} if had else {}
    with client.stream("GET", file.url, headers=headers) as response:
        response.raise_for_status()
        resumed = response.status_code == httpx.codes.PARTIAL_CONTENT
        done = had if resumed else 0
        with part.open("ab" if resumed else "wb") as out:
            progress(file.name, done, file.size)
            for block in response.iter_bytes():  # unbuffered, so that less is lost when the connection fails
                out.write(block)
                done += len(block)
                if done > file.size:  # a login page or another file must not fill the disk
                    return
                progress(file.name, done, file.size)


def _accept(file: RemoteFile, part: Path, target: Path) -> Path:
    digest = hash_file(part)
    if digest != file.sha256:
        part.unlink()
        raise UnreachableError(f"{file.url} gave other bytes than expected (SHA-256 {digest[:12]}...)")
    target.parent.mkdir(parents=True, exist_ok=True)
    part.replace(target)
    return target
