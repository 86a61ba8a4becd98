"""SHA-256 of files: several at a time, since hashing leaves Python's lock to others."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_files(paths: Iterable[Path]) -> Iterator[str]:
    """The same of several files, in their order."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(hash_file, paths)
