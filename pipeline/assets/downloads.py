"""Fetch files over HTTP: pinned, resumed where they broke off, and never waiting long for a place that is not there.

Promises: a file that is returned has the pinned hash. What arrived before a break stays in `<sha256>.part` and is
continued by the next try, in this process or a later one.
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
"""Told the name of what is fetched, the bytes that are here, and the bytes there will be."""

TIMEOUT = httpx.Timeout(30.0, connect=5.0)  # short to connect: behind a firewall nothing ever answers
TRIES = 4  # each continues where the last one broke off


class UnreachableError(Exception):
    """A source cannot give the file; the next source is asked."""


def fetch_file(file: RemoteFile, folder: Path, progress: Progress) -> Path:
    """Fetch one file into `folder` and return its path there.

    Raises UnreachableError when the place cannot be reached, refuses, breaks off too often or sends other bytes.
    """
    part = folder / f"{file.sha256}.part"
    # identity: a compressed reply could not be continued by byte offset
    with httpx.Client(timeout=TIMEOUT, follow_redirects=True, headers={"Accept-Encoding": "identity"}) as client:
        for attempt in range(TRIES):
            had = measure_part(part)
            try:
                _continue_part(client, file, part, progress)
                break
            except httpx.HTTPStatusError as error:
                raise UnreachableError(f"{file.url} answered {error.response.status_code}") from error
            except httpx.HTTPError as error:
                if attempt == TRIES - 1 or measure_part(part) == had:
                    raise UnreachableError(f"{file.url}: {error or type(error).__name__}") from error
                log.info("%s broke off at byte %d of %d; continuing", file.name, measure_part(part), file.size)
    return _accept(file, part, folder / file.name)


def measure_part(part: Path) -> int:
    """Bytes that are here already."""
    return part.stat().st_size if part.exists() else 0


def _continue_part(client: httpx.Client, file: RemoteFile, part: Path, progress: Progress) -> None:
    had = measure_part(part)
    if had >= file.size:
        return
    headers = {"Range": f"bytes={had}-"} if had else {}
    with client.stream("GET", file.url, headers=headers) as reply:
        reply.raise_for_status()
        resumed = reply.status_code == httpx.codes.PARTIAL_CONTENT
        done = had if resumed else 0
        with part.open("ab" if resumed else "wb") as out:
            progress(file.name, done, file.size)
            for block in reply.iter_bytes():  # as they come: larger blocks would be lost at a break
                out.write(block)
                done += len(block)
                if done > file.size:  # a login page, or another file: do not fill the disk with it
                    return
                progress(file.name, done, file.size)


def _accept(file: RemoteFile, part: Path, target: Path) -> Path:
    found = hash_file(part)
    if found != file.sha256:
        part.unlink()
        raise UnreachableError(f"{file.url} gave other bytes than expected (SHA-256 {found[:12]}...)")
    target.parent.mkdir(parents=True, exist_ok=True)
    part.replace(target)
    return target
