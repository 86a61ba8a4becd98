"""Adoption of finished stages of one run by another: hard links to the same files, with the same ids and bytes.

Guarantees: nothing is computed and, on one file system, nothing copied; repeating an interrupted adoption gives the
same result; the manifest of a stage is written last, so that an incomplete stage does not count.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from pipeline.storage.files import replace_atomically, temporary_name, wrap_os_errors, write_atomically
from pipeline.storage.run_folder import RunFolder
from schemas.config import StageName

MANIFEST = "manifest.json"


def adopt_stages(source: RunFolder, target: RunFolder, stages: Iterable[str]) -> None:
    """Link finished stages of `source` into `target`. Raises StorageError for one that is not finished."""
    for stage in stages:
        manifest = source.manifest(stage)
        if target.find_manifest(stage) is not None:
            continue
        for commit in manifest.shards:
            for file in commit.files:
                link_file(source.dataset(file.dataset) / file.name, target.dataset(file.dataset) / file.name)
        if stage == StageName.INDEX:
            link_tree(source.index, target.index)
        link_tree(source.ledger(stage), target.ledger(stage), last=MANIFEST)


def link_tree(source: Path, target: Path, last: str = "") -> None:
    """Link every file of a folder; the top-level file `last` is copied at the end."""
    for path in sorted(path for path in source.rglob("*") if path.is_file() and path != source / last):
        link_file(path, target / path.relative_to(source))
    if last:
        write_atomically(target / last, (source / last).read_bytes())


def link_file(source: Path, target: Path) -> None:
    """Link a finished file; copy it where the file system has no hard links.

    Finished files are replaced and never written to, so a change under one name does not affect the other.
    """
    with wrap_os_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_name(target)
        temporary.unlink(missing_ok=True)
        try:
            os.link(source, temporary)
        except OSError:  # another file system, or one without links
            shutil.copyfile(source, temporary)
        if target.exists() and temporary.samefile(target):  # rename(2) between links of one file does nothing
            temporary.unlink()
            return
        replace_atomically(temporary, target)
