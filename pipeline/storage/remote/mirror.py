"""Working copy of a run on an object store.

All work is done on local files. Finished files are uploaded before they are committed here, and missing files are
fetched when they are read: the working folder is a cache of the store. It belongs to one session of the run, by its
number; when another machine has worked on the run since, it is emptied but for paid calls.
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
from pipeline.storage.run_lock import LOCK, is_held
from schemas.store_config import StoreConfig

SITTING = ".session"
"""Number and token of the folder's session."""
FILES = "files.json"
"""In a folder that is put whole: the SHA-256 of each of its files, by name."""
KEPT = (SITTING, LOCK, "calls", "searches")
"""Files that outlive a change of sessions: paid calls are keyed by their request, so they never go stale."""

CHANGED = "open the run again when nobody works on it; if that does not help, do the stage again: --redo"


class WorkingCopy:
    """A working folder and its store."""

    def __init__(self, url: str, root: Path, settings: StoreConfig) -> None:
        """Sends no request yet. Raises ConfigError for a URL that cannot be opened."""
        self.store = ObjectStore(url, settings.patience)
        self.url, self.root, self.settings = self.store.url, root, settings
        self.number = 0
        self.holding = False
        """Whether this process holds the run: then no other process writes the shared files, and all are here."""

    def put(self, path: Path) -> None:
        """Put a finished file to the store. Raises StorageError."""
        self.store.upload(path, self.key(path))

    def write(self, path: Path, content: bytes) -> None:
        """Put a small file to the store. Raises StorageError, also after the loss of the lease."""
        if find_number(self.store) != self.number:
            raise StorageError(f"{self.url}: another rampforge has taken this run over", "let it finish")
        self.store.write(self.key(path), content)

    def fetch(self, path: Path, *, anew: bool = False) -> bool:
        """Fetch a missing file, or one that may have changed (`anew`); whether it is here then."""
        if not anew and path.exists():
            return True
        return self.store.download(self.key(path), path)

    def fetch_checked(self, files: Iterable[tuple[Path, str]]) -> None:
        """Fetch missing files and check their SHA-256. Raises StorageError.

        Processes of a machine that need the same files wait for the one that fetches them.
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
        """Fetch the missing files of a folder. Raises StorageError."""
        keys = self.store.find(self.key(folder))
        self.store.download_all((key, path) for key in keys if not (path := self.root / key).exists())

    def put_folder(self, folder: Path) -> None:
        """Put a folder of files, and last the list of them, which completes it. Raises StorageError."""
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
        """Fetch a folder that `put_folder` put, unless it is here unchanged. Raises StorageError."""
        listing = folder / FILES
        content = self.store.read(self.key(listing))
        if content is None or (listing.exists() and listing.read_bytes() == content):
            return
        with self._turn(folder.name):
            digests: dict[str, str] = json.loads(content)
            for path in [path for path in folder.rglob("*") if path.is_file()]:
                if digests.get(path.relative_to(folder).as_posix()) != hash_file(path):
                    path.unlink()
        self.fetch_checked((folder / name, digest) for name, digest in digests.items())
        write_atomically(listing, content)

    def list_folders(self, folder: Path) -> list[str]:
        """Names of the folders in a folder of the store."""
        return self.store.list_folders(self.key(folder))

    def remove(self, paths: Iterable[Path]) -> None:
        """Remove files from the store, in order."""
        self.store.delete(self.key(path) for path in paths)

    def remove_folder(self, folder: Path) -> None:
        """Remove everything in a folder of the store."""
        self.store.delete(list(self.store.find(self.key(folder))))

    def key(self, path: Path) -> str:
        """The key of a file of the working folder."""
        return path.relative_to(self.root).as_posix()

    def freshen(self) -> None:
        """Assign the working folder to the store's last session, without files that may be of another state.

        A process that works in this folder does so itself.
        """
        with self._turn():
            self.number, known = find_number(self.store), self._known()[0]
            if known == self.number:
                return
            if is_held(self.root):
                self.number = known
            else:
                self._drop()
                self._remember(self.number, "")

    def take_over(self, number: int, before: int, token: str) -> bool:
        """Assign the working folder to a new session of this process.

        True when it belonged to the session before, so that its files are those of the store.
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
        """Fetch the ledger as it is on the store: a process may have died between its two writes."""
        keys = self.store.find("ledger")
        for path in list((self.root / "ledger").rglob("*.json")):
            if self.key(path) not in keys:
                path.unlink()
        shared = [key for key in keys if key.rpartition("/")[2] in ("stage.json", "manifest.json")]
        self.store.download_all((key, path) for key in shared if not (path := self.root / key).exists())
        for name in ("run.json", "report.html"):
            self.fetch(self.root / name)

    def find_token(self) -> str | None:
        """Token of the last session in this folder."""
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

    @contextmanager
    def _turn(self, name: str = "") -> Iterator[None]:
        """One process of this machine at a time."""
        with wrap_os_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            with self.root.with_name(f"{self.root.name}.{name}turn").open("w") as turn:
                fcntl.flock(turn, fcntl.LOCK_EX)
                yield
