"""The files of a run, on disk or on an object store.

Guarantees: nothing is written; memory does not grow with a file; of a run on a store its objects are read, not the
copies in the working folder.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from pipeline.storage.hashing import hash_file
from pipeline.storage.remote.object_store import ObjectStore
from pipeline.storage.run_folder import RunFolder

RANGE = 8 << 20
"""Bytes of an object read at once."""


class FolderFiles:
    """Files of a run on disk. All methods raise OSError."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def sizes(self) -> dict[str, int]:
        """Size in bytes by path, in order; of a link, that of its target; broken links are left out."""
        found: dict[str, int] = {}
        for folder, _, names in os.walk(self._root):
            for path in (Path(folder, name) for name in names):
                if path.exists():
                    found[path.relative_to(self._root).as_posix()] = path.stat().st_size
        return dict(sorted(found.items()))

    def read(self, name: str) -> bytes:
        """The content of a small file."""
        return (self._root / name).read_bytes()

    def digest(self, name: str) -> str:
        """SHA-256 of a file."""
        return hash_file(self._root / name)

    def lines(self, name: str) -> Iterator[bytes]:
        """The lines of a file."""
        with (self._root / name).open("rb") as file:
            yield from file


class StoredFiles:
    """Files of a run on an object store. All methods raise StorageError, and OSError for a missing file."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def sizes(self) -> dict[str, int]:
        """Size in bytes by path, in order."""
        return {key: entry.size for key, entry in self._store.find().items()}

    def read(self, name: str) -> bytes:
        """The content of a small object."""
        content = self._store.read(name)
        if content is None:
            raise FileNotFoundError(name)
        return content

    def digest(self, name: str) -> str:
        """SHA-256 of an object."""
        seen = hashlib.sha256()
        size = self._store.measure(name)
        for start in range(0, size, RANGE):
            seen.update(self._store.read_range(name, start, min(start + RANGE, size)))
        return seen.hexdigest()

    def lines(self, name: str) -> Iterator[bytes]:
        """The lines of an object, read at once: the pieces of logs fit into memory."""
        yield from self.read(name).splitlines(keepends=True)


RunFiles = FolderFiles | StoredFiles


def open_files(run: RunFolder) -> RunFiles:
    """The files of a run."""
    return StoredFiles(run.mirror.store) if run.mirror else FolderFiles(run.root)
