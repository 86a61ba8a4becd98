"""Hash of the whole content of a source, computed while it is read.

Guarantees: no byte that a reader has passed is read again; bytes that a reader skips (columns of a table without page
content, an empty rest) are read at the end, so that the hash is always that of the whole, as by `sha256sum`. For a
folder it is the hash over the names and hashes of its files.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Collection, Iterator
from pathlib import Path, PosixPath
from typing import IO, Any

from pipeline.errors import SourceError

BLOCK = 1 << 18


class SourceDigest:
    """Hasher of one source: its reader receives `path` instead of the path itself."""

    def __init__(self, source: Path, apart: Collection[Path] = ()) -> None:
        """`apart`: files of a folder that are separate sources."""
        self._source, self._apart = source, frozenset(apart)
        self._files: dict[Path, _FileDigest] = {}
        watched = _WatchedPath(source)
        watched.digest = self
        self.path: Path = watched

    def of_file(self, path: Path) -> _FileDigest:
        """Return the hash of one file, as far as it has been computed."""
        return self._files.setdefault(Path(str(path)), _FileDigest())

    def finish(self) -> str:
        """Return the hash of the whole. Raises SourceError for a file that is gone."""
        if not self._source.is_dir():
            return self._finish_file(self._source)
        whole = hashlib.sha256()
        for file in list_files(self._source, self._apart):
            whole.update(f"{file.name}\0{self._finish_file(file)}\n".encode("utf-8", "surrogateescape"))
        return whole.hexdigest()

    def _finish_file(self, path: Path) -> str:
        digest = self.of_file(path)
        try:
            with path.open("rb") as file:
                file.seek(digest.end)
                while block := file.read(BLOCK):
                    digest.take(digest.end, block)
        except OSError as error:
            raise SourceError(f"{path}: {error.strerror or error}", "check corpus.sources") from None
        return digest.hexdigest()


def hash_source(source: Path, apart: Collection[Path] = ()) -> str:
    """Hash a source that is not being read otherwise. Raises SourceError."""
    return SourceDigest(source, apart).finish()


def list_files(folder: Path, apart: Collection[Path] = ()) -> list[Path]:
    """Return the files that make up a folder of pages, ordered by name."""
    files = (Path(str(path)) for path in folder.iterdir() if not path.name.startswith((".", "_")))
    return sorted(path for path in files if path.is_file() and path not in apart)


class _FileDigest:
    """Hash over the bytes of a file up to `end`; pieces that are read again, or ahead of it, are ignored."""

    def __init__(self) -> None:
        self.end = 0
        self._hash = hashlib.sha256()

    def take(self, start: int, piece: bytes | memoryview) -> None:
        """Add a piece of the file that starts at `start`."""
        new = memoryview(piece)[self.end - start :] if start <= self.end < start + len(piece) else memoryview(b"")
        self._hash.update(new)
        self.end += len(new)

    def hexdigest(self) -> str:
        """Return the hash so far."""
        return self._hash.hexdigest()


class _WatchedPath(PosixPath):
    """Path whose bytes are hashed as they are read, from it or from the files of the folder."""

    digest: SourceDigest | None = None

    def open(self, mode: str = "r", *args: Any, **kwargs: Any) -> IO[Any]:  # type: ignore[override]  # no overloads
        if mode == "rb" and self.digest is not None:
            return io.BufferedReader(_WatchedFile(str(self), self.digest.of_file(self)), BLOCK)
        return super().open(mode, *args, **kwargs)

    def iterdir(self) -> Iterator[_WatchedPath]:  # type: ignore[override]  # narrower than Path's own Self
        for path in super().iterdir():
            path.digest = self.digest
            yield path


class _WatchedFile(io.FileIO):
    """File that is read through a buffer, and hashed a buffer at a time."""

    def __init__(self, name: str, digest: _FileDigest) -> None:
        super().__init__(name, "rb")
        self._digest = digest

    def readinto(self, buffer: Any) -> int:
        start = self.tell()
        count = super().readinto(buffer)
        self._digest.take(start, memoryview(buffer)[:count])
        return count
