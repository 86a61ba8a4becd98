"""Backup of the logs of paid work to the store: calls of language models, answers of web searches.

Objects cannot be appended to, so a log is stored in pieces, each named by its offset in the log; what is new since the
last backup is one more piece, of complete lines. A machine that dies loses `save_every` seconds of calls at most.

Guarantees: the pieces of a log, joined, are a prefix of the log in the working folder; logs that two machines have
extended independently are merged without losing a line.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from pipeline.errors import StorageError
from pipeline.storage.files import replace_atomically, temporary_name, wrap_os_errors
from pipeline.storage.remote.mirror import WorkingCopy

log = logging.getLogger(__name__)

FOLDERS = ("calls", "searches")
LARGEST = 32 << 20
"""Bytes of a piece, roughly: it is held in memory."""


class LogBackup:
    """Context manager that backs up the logs of a session periodically, and at its end."""

    def __init__(self, mirror: WorkingCopy) -> None:
        self._mirror = mirror
        self._saved: dict[str, int] = {}
        """How much of each log the store has, in bytes."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._save_on, name="log-saver", daemon=True)

    def restore(self, *, trusted: bool) -> None:
        """Fetch every log. `trusted`: whether no other machine has worked on the run since this one."""
        pieces: dict[str, dict[str, int]] = {}
        for folder in FOLDERS:
            for key, entry in self._mirror.store.find(folder).items():
                pieces.setdefault(key.rpartition("/")[0], {})[key] = entry.size
        for name, parts in pieces.items():
            path, size = self._mirror.root / name, sum(parts.values())
            if not (trusted and path.exists() and path.stat().st_size >= size):
                self._merge(path, list(parts))
            self._saved[name] = size

    def _merge(self, path: Path, keys: list[str]) -> None:
        """Rewrite a log: the lines of the store, then those of this machine alone."""
        temporary = temporary_name(path)
        with wrap_os_errors(path):
            ours = path.read_bytes().splitlines(keepends=True) if path.exists() else []
            path.parent.mkdir(parents=True, exist_ok=True)
            theirs: set[int] = set()
            with temporary.open("wb") as file:
                for key in sorted(keys):
                    piece = self._mirror.store.read(key) or b""
                    file.write(piece)
                    if ours:
                        theirs.update(hash(line) for line in piece.splitlines(keepends=True))
                file.writelines(line for line in ours if line.endswith(b"\n") and hash(line) not in theirs)
            replace_atomically(temporary, path)

    def save(self) -> None:
        """Put the new lines. Raises StorageError."""
        for path in self._list():
            name = self._mirror.key(path)
            while piece := _read_whole_lines(path, self._saved.get(name, 0)):
                start = self._saved.get(name, 0)
                if not self._mirror.store.create(f"{name}/{start:016d}", piece):
                    raise StorageError(f"{self._mirror.url}: another rampforge has taken this run over")
                self._saved[name] = start + len(piece)

    def _list(self) -> Iterator[Path]:
        for folder in FOLDERS:
            yield from sorted((self._mirror.root / folder).rglob("*.jsonl"))

    def _save_on(self) -> None:
        while not self._stop.wait(self._mirror.settings.save_every):
            self._try_save()

    def _try_save(self) -> None:
        try:
            self.save()
        except StorageError as error:
            log.warning("calls that were paid for are not on the store yet: %s", error.what)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._try_save()


def _read_whole_lines(path: Path, start: int) -> bytes:
    """The complete lines of a file from an offset on, or the first of them."""
    with wrap_os_errors(path), path.open("rb") as file:
        file.seek(start)
        block = file.read(LARGEST)
        while block and (end := block.rfind(b"\n") + 1) == 0:
            more = file.read(LARGEST)
            if not more:
                return b""
            block += more
        return block[:end] if block else b""
