"""The hash of the whole of a source, taken while the source is read.

Promises: no byte that a reader has passed over is read again; what a reader leaves out (the columns of a table that
hold no page, an empty rest) is read at the end, so the hash is always that of the whole, as `sha256sum` has it. Of a
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
    """Takes the hash of one source: its reader is given `path` in place of the path itself."""

    def __init__(self, source: Path, apart: Collection[Path] = ()) -> None:
        """`apart`: files of a folder that are sources of their own."""
        self._source, self._apart = source, frozenset(apart)
        self._files: dict[Path, _FileDigest] = {}
        self.path: Path = _watch(source, self)

    def of_file(self, path: Path) -> _FileDigest:
        """The hash of one file, as far as it has been taken."""
        return self._files.setdefault(Path(str(path)), _FileDigest())

    def finish(self) -> str:
        """The hash of the whole. Raises SourceError for a file that is gone."""
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
    """The hash of the whole of a source that is not being read otherwise. Raises SourceError."""
    return SourceDigest(source, apart).finish()


def list_files(folder: Path, apart: Collection[Path] = ()) -> list[Path]:
    """The files that make up a folder of pages, in order of their names."""
    files = (Path(str(path)) for path in folder.iterdir() if not path.name.startswith((".", "_")))
    return sorted(path for path in files if path.is_file() and path not in apart)


class _FileDigest:
    """A hash over the bytes of a file up to `end`; pieces that are read again, or ahead of it, are left out."""

    def __init__(self) -> None:
        self.end = 0
        self._hash = hashlib.sha256()

    def take(self, start: int, piece: bytes | memoryview) -> None:
        """Note a piece of the file that begins at `start`."""
        new = memoryview(piece)[self.end - start :] if start <= self.end < start + len(piece) else memoryview(b"")
        self._hash.update(new)
        self.end += len(new)

    def hexdigest(self) -> str:
        """The hash so far."""
        return self._hash.hexdigest()


class _WatchedPath(PosixPath):
    """A path whose bytes go into a hash as they are read from it, or from the files of the folder it names."""

    digest: SourceDigest | None = None

    def open(self, mode: str = "r", *args: Any, **kwargs: Any) -> IO[Any]:  # type: ignore[override]  # no overloads
        if mode == "rb" and self.digest is not None:
            return io.BufferedReader(_WatchedFile(str(self), self.digest.of_file(self)), BLOCK)
        return super().open(mode, *args, **kwargs)

    def iterdir(self) -> Iterator[_WatchedPath]:  # type: ignore[override]  # narrower than Path's own Self
        for path in super().iterdir():
            path.digest = self.digest
            yield path


def _watch(path: Path, digest: SourceDigest) -> Path:
    watched = _WatchedPath(path)
    watched.digest = digest
    return watched


class _WatchedFile(io.FileIO):
    """A file that is read through a buffer, and hashed a buffer at a time."""

    def __init__(self, name: str, digest: _FileDigest) -> None:
        super().__init__(name, "rb")
        self._digest = digest

    def readinto(self, buffer: Any) -> int:
        start = self.tell()
        count = super().readinto(buffer)
        self._digest.take(start, memoryview(buffer)[:count])
        return count
