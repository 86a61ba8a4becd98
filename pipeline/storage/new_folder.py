"""Folder that is written completely or not at all.

Guarantees: its files appear together, when the block that writes them succeeds; a block that fails, for whatever
reason, leaves nothing; what a killed process leaves is beside the folder and overwritten by the next.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.errors import StorageError
from pipeline.storage.files import FIXES, sync_folder, temporary_name, wrap_os_errors
from pipeline.storage.run_lock import LOCK, hold_folder

AGAIN = "free some space, then run the same command again: it left nothing"
CARD = "README.md"
"""File that says what a folder holds, and so is moved last."""


@contextmanager
def build_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder of the same name to write into; where `path` exists, its files of other names stay.

    Raises StorageError, also where another process builds it now, and for the root, which has no name.
    """
    target = path.resolve()  # so that no part of it is "..", which would lead out of the temporary folder
    if not target.name:
        raise StorageError(f"{path} is the root of the file system", "name a folder")
    temporary = temporary_name(target)
    built = temporary / target.name
    with wrap_os_errors(path):
        if target.exists() and not target.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        try:
            with hold_folder(temporary, str(path)):
                try:
                    shutil.rmtree(built, ignore_errors=True)
                    built.mkdir()
                    yield built
                    _publish(built, target)
                except OSError as error:
                    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                        raise
                    raise StorageError(f"{path}: {FIXES[error.errno][0]}", AGAIN) from error
                finally:
                    shutil.rmtree(built, ignore_errors=True)
        finally:
            with suppress(OSError):  # another process has just begun here
                (temporary / LOCK).unlink(missing_ok=True)
                temporary.rmdir()


def _publish(built: Path, target: Path) -> None:
    """Move the files; an existing folder stays the same one, since somebody may stand in it."""
    if target.exists():
        files = (file for file in built.rglob("*") if file.is_file())
        (target / CARD).unlink(missing_ok=True)
        for file in sorted(files, key=lambda file: (file.name == CARD, file)):
            place = target / file.relative_to(built)
            place.parent.mkdir(parents=True, exist_ok=True)
            file.replace(place)
    else:
        built.replace(target)
    sync_folder(target.parent)
