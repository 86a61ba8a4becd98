"""Database of the temporary Prefect API: one per run, removed at its end.

Guarantees: the database in Prefect's own home is neither read nor written. A migrated empty database is kept in the
cache folder as a template, because migrating one takes seconds. Leftovers of a killed process are removed by the next
one; if the cache folder is not writable, a temporary folder is used.
"""

from __future__ import annotations

import importlib.metadata
import logging
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline.assets.store import locate_cache

log = logging.getLogger(__name__)

PREFIX = "run-"
LOCK = "lock"


@contextmanager
def place_database() -> Iterator[Path]:
    """Return a path for a database: a copy of the template if there is one, else a path without a file."""
    with ExitStack() as stack:
        databases = _find_databases() or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="rampforge-prefect-"))
        )
        database = stack.enter_context(_claim_folder(databases)) / "prefect.db"
        with suppress(OSError):
            shutil.copyfile(_locate_template(databases), database)
        yield database


def keep_template(database: Path) -> None:
    """Keep a newly migrated, unused database as the template."""
    template = _locate_template(database.parent.parent)
    if template.exists():
        return
    draft = database.with_name("template.db")
    try:
        with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(draft)) as target:
            source.backup(target)
        draft.replace(template)
    except (OSError, sqlite3.Error) as error:  # the next run migrates a database again
        log.info("cannot keep a template of Prefect's database: %s", error)


def _find_databases() -> Path | None:
    """Return the folder of the databases, shared by the runs of a user; None if it is not writable."""
    databases = locate_cache() / "prefect"
    try:
        databases.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        log.info("%s: %s", databases, error)
        return None
    return databases if os.access(databases, os.W_OK) else None


def _locate_template(databases: Path) -> Path:
    return databases / f"template-{importlib.metadata.version('prefect')}.db"


@contextmanager
def _claim_folder(databases: Path) -> Iterator[Path]:
    """Create a folder that is locked during the block; remove folders that no process holds."""
    with FileLock(databases / LOCK):
        for left in databases.glob(f"{PREFIX}*"):
            _remove_unheld(left)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=databases))
        lock = FileLock(folder / LOCK)
        lock.acquire()
    try:
        yield folder
    finally:
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def _remove_unheld(folder: Path) -> None:
    with suppress(Timeout, OSError), FileLock(folder / LOCK, timeout=0):
        shutil.rmtree(folder, ignore_errors=True)
