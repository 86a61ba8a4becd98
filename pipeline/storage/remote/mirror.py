"""Keeps the working folder of a run in step with the store that the run lies on.

All work goes on in local files. What is finished is put to the store before it counts here, and what is not here is
fetched when it is read: the store is the truth, the working folder a cache of it. The cache belongs to one session of
the run, by its number; when another machine has worked on the run since, all of it is dropped but what was paid for.
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import StorageError
from pipeline.storage.files import wrap_os_errors, write_atomically
from pipeline.storage.hashing import hash_file
from pipeline.storage.remote.lease import find_number
from pipeline.storage.remote.object_store import ObjectStore
from schemas.store_config import StoreConfig

SITTING = ".session"
"""Number and token of the session that the working folder belongs to."""
LOCK = ".lock"
"""Held by the process that works on the run, if it is on this machine."""
FILES = "files.json"
"""In a folder that is put whole: the SHA-256 of each of its files, by name."""
KEPT = (SITTING, LOCK, "calls", "searches")
"""What outlives a change of sessions: paid calls are found by what was sent, so they never go stale."""

CHANGED = "open the run again when nobody works on it; if that does not help, do the stage again: --redo"


class WorkingCopy:
    """A working folder and its store."""

    def __init__(self, url: str, root: Path, settings: StoreConfig) -> None:
        """Nothing is asked of the store yet. Raises ConfigError for a URL that cannot be opened."""
        self.store = ObjectStore(url, settings.patience)
        self.url, self.root, self.settings = self.store.url, root, settings
        self.number = 0
        self.holding = False
        """Whether this process holds the run: then nobody else writes what stages share, and all of that is here."""

    def put(self, path: Path) -> None:
        """Put a finished file to the store. Raises StorageError."""
        self.store.upload(path, self.key(path))

    def write(self, path: Path, content: bytes) -> None:
        """Put a small file to the store, if the run is still ours. Raises StorageError."""
        if find_number(self.store) != self.number:
            raise StorageError(f"{self.url}: another rampforge has taken this run over", "let it finish")
        self.store.write(self.key(path), content)

    def fetch(self, path: Path, *, anew: bool = False) -> bool:
        """Bring a file that is not here, or one that may have changed (`anew`); whether it is here then."""
        if not anew and path.exists():
            return True
        return self.store.download(self.key(path), path)

    def fetch_checked(self, files: Iterable[tuple[Path, str]]) -> None:
        """Bring the files that are not here, each only if it has the SHA-256 given. Raises StorageError.

        The processes of a machine that need the same files wait for the one that brings them.
        """
        missing = [(path, digest) for path, digest in files if not path.exists()]
        if not missing:
            return
        with self._turn(missing[0][0].parent.name):
            fetched = {path.with_name(f".{path.name}.part"): (path, d) for path, d in missing if not path.exists()}
            self.store.download_all((self.key(path), part) for part, (path, _) in fetched.items())
            for part, (path, digest) in fetched.items():
                if hash_file(part) != digest:
                    part.unlink()
                    raise StorageError(f"{self.url}/{self.key(path)}: not the file that was committed", CHANGED)
                part.replace(path)

    def fetch_folder(self, folder: Path) -> None:
        """Bring what lies in a folder of the store and is not here. Raises StorageError."""
        keys = self.store.find(self.key(folder))
        self.store.download_all((key, path) for key in keys if not (path := self.root / key).exists())

    def put_folder(self, folder: Path) -> None:
        """Put a folder of files, and last the list of them: without it the folder is not there. Raises StorageError."""
        listing = folder / FILES
        self.remove([listing])
        listing.unlink(missing_ok=True)
        files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
        for path in files.values():
            self.put(path)
        content = json.dumps({name: hash_file(path) for name, path in files.items()}, indent=1).encode()
        self.write(listing, content)
        write_atomically(listing, content)

    def fetch_listed(self, folder: Path) -> None:
        """Bring a folder that was put whole, unless just that one is here. Raises StorageError."""
        listing = folder / FILES
        content = self.store.read(self.key(listing))
        if content is None or (listing.exists() and listing.read_bytes() == content):
            return
        with self._turn(folder.name):
            wanted: dict[str, str] = json.loads(content)
            for path in [path for path in folder.rglob("*") if path.is_file()]:
                if wanted.get(path.relative_to(folder).as_posix()) != hash_file(path):
                    path.unlink()
        self.fetch_checked((folder / name, digest) for name, digest in wanted.items())
        write_atomically(listing, content)

    def list_folders(self, folder: Path) -> list[str]:
        """Names of the folders in a folder of the store."""
        return self.store.list_folders(self.key(folder))

    def remove(self, paths: Iterable[Path]) -> None:
        """Take files away from the store, in order."""
        self.store.delete(self.key(path) for path in paths)

    def remove_folder(self, folder: Path) -> None:
        """Take away everything in a folder of the store."""
        self.store.delete(list(self.store.find(self.key(folder))))

    def key(self, path: Path) -> str:
        """The key of a file of the working folder."""
        return path.relative_to(self.root).as_posix()

    def freshen(self) -> None:
        """Make the working folder belong to the store's last session, dropping what may be of another state.

        Not while the run is at work in this folder: then it is for that process to see to it.
        """
        with self._turn():
            self.number, known = find_number(self.store), self._known()[0]
            if known == self.number:
                return
            if self._in_use():
                self.number = known
            else:
                self._drop()
                self._remember(self.number, "")

    def take_over(self, number: int, before: int, token: str) -> bool:
        """Make the working folder belong to the session that begins here.

        True when it belonged to the one before, so that what lies in it is as the store has it.
        """
        with self._turn():
            trusted = self._known()[0] == before
            if not trusted:
                self._drop()
            self._remember(number, token)
            self.number = number
        self._fetch_ledger()
        self.holding = True
        return trusted

    def _fetch_ledger(self) -> None:
        """What is finished, as the store tells it: a process may have died between its two writes."""
        keys = self.store.find("ledger")
        for path in list((self.root / "ledger").rglob("*.json")):
            if self.key(path) not in keys:
                path.unlink()
        wanted = [key for key in keys if key.rpartition("/")[2] in ("stage.json", "manifest.json")]
        self.store.download_all((key, path) for key in wanted if not (path := self.root / key).exists())
        for name in ("run.json", "report.html"):
            self.fetch(self.root / name)

    def find_token(self) -> str | None:
        """Token of the session that was last begun in this folder."""
        return self._known()[1] or None

    def _known(self) -> tuple[int, str]:
        try:
            number, _, token = (self.root / SITTING).read_text().partition(" ")
            return int(number), token
        except (OSError, ValueError):
            return -1, ""

    def _remember(self, number: int, token: str) -> None:
        write_atomically(self.root / SITTING, f"{number} {token}".encode())

    def _drop(self) -> None:
        for path in self.root.iterdir():
            if path.name in KEPT:
                continue
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _in_use(self) -> bool:
        path = self.root / LOCK
        if not path.exists():
            return False
        with path.open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    @contextmanager
    def _turn(self, name: str = "") -> Iterator[None]:
        """One process of this machine at a time."""
        with wrap_os_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            with self.root.with_name(f"{self.root.name}.{name}turn").open("w") as turn:
                fcntl.flock(turn, fcntl.LOCK_EX)
                yield
