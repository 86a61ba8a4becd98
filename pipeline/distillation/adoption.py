"""Takes finished stages of one run over into another: the same files under other names, so the same ids and bytes.

Promises: nothing is computed and, on one file system, nothing copied; what is killed half way is done again from the
start and comes to the same; the manifest of a stage comes last, so that half a stage is none.
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
    """Make the named stages of `source` stages of `target`. Raises StorageError for one that is not finished there."""
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
    """Link every file of a folder; the one named `last` at the top comes last."""
    for path in sorted(path for path in source.rglob("*") if path.is_file() and path != source / last):
        link_file(path, target / path.relative_to(source))
    if last:
        write_atomically(target / last, (source / last).read_bytes())


def link_file(source: Path, target: Path) -> None:
    """A second name for a finished file; a copy where the file system has no such thing.

    Finished files are replaced and never written into, so neither name can change what the other shows.
    """
    with wrap_os_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_name(target)
        temporary.unlink(missing_ok=True)
        try:
            os.link(source, temporary)
        except OSError:  # another file system, or one without links
            shutil.copyfile(source, temporary)
        if target.exists() and temporary.samefile(target):  # renaming one name onto the other would do nothing
            temporary.unlink()
            return
        replace_atomically(temporary, target)
