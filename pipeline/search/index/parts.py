"""Parts of an index, one folder each: `passages` (the texts), `bm25` (terms) and `dense` (vectors).

Guarantees: a part is complete or absent, because it is built in another folder and renamed at the end; a build after a
kill continues from the finished blocks, if its plan is the same; a part with a missing or truncated file, or of another
version, is refused. `about.json` has the size and the SHA-256 of every file.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pipeline.errors import SearchError
from pipeline.storage.files import sync_folder, write_atomically
from pipeline.storage.hashing import hash_files
from pipeline.storage.ledger_files import advise_repair
from pipeline.storage.seals import read_file, seal_file
from schemas.config import StageName

FIX = "make it again: `rampforge resume RUN --redo index`"
INDEX_VERSION = 3
ABOUT = "about.json"
PLAN = "plan.json"
SCRATCH = "blocks"

T = TypeVar("T")
R = TypeVar("R")


class RunBlocks(Protocol):
    """A function like `map`, perhaps over a pool of processes."""

    def __call__(self, work: Callable[[T], R], blocks: Sequence[T], /) -> Iterable[R]:
        """The result of each block, in order."""


def start_part(folder: Path, plan: Mapping[str, Any]) -> tuple[Path, bool]:
    """The folder to build in, and whether the part is already finished under the same plan.

    The blocks of an unfinished build under the same plan are kept; those of another plan are removed.
    """
    text = json.dumps({**plan, "version": INDEX_VERSION}, indent=1, sort_keys=True)
    building = folder.with_name(f".{folder.name}.building")
    if _read_text(folder / PLAN) == text and not _find_faults(folder):
        return folder, True
    if _read_text(building / PLAN) != text:
        shutil.rmtree(building, ignore_errors=True)
        (building / SCRATCH).mkdir(parents=True)
        write_atomically(building / PLAN, text.encode())
    return building, False


def finish_part(building: Path, folder: Path, about: Mapping[str, Any]) -> dict[str, Any]:
    """Remove the scratch blocks, record the size and the SHA-256 of every file, and move the part to its folder."""
    shutil.rmtree(building / SCRATCH, ignore_errors=True)
    files = [path for path in sorted(building.iterdir()) if path.name != ABOUT]
    sizes = {path.name: path.stat().st_size for path in files if path.name != PLAN}
    digests = {path.name: digest for path, digest in zip(files, hash_files(files), strict=True)}
    whole = {**about, "version": INDEX_VERSION, "files": sizes, "sha256s": digests}
    write_atomically(building / ABOUT, seal_file(json.dumps(whole, indent=1, sort_keys=True).encode()))
    shutil.rmtree(folder, ignore_errors=True)
    building.rename(folder)
    sync_folder(folder.parent)
    return whole


def open_part(folder: Path, kind: str) -> dict[str, Any]:
    """The description of a finished part. Raises SearchError when it is absent, damaged or of another version."""
    fix = advise_rebuild(folder.parent)
    if not folder.parent.is_dir():
        raise SearchError(f"{folder.parent}: no such folder", "name a run or the folder of an index")
    if not folder.exists():
        raise SearchError(f"there is no {kind} index in {folder}", fix)
    try:
        about = read_about(folder)
        is_current = (about["kind"], about["version"]) == (kind, INDEX_VERSION)
    except (OSError, ValueError, KeyError) as error:
        what = "missing" if isinstance(error, FileNotFoundError) else str(error)
        raise SearchError(f"{folder / ABOUT}: {what}", fix) from error
    if not is_current:
        raise SearchError(f"the index in {folder} was made by another version of rampforge", FIX)
    fault = _find_faults(folder)
    if fault:
        raise SearchError(f"the index in {folder} {fault}", fix)
    return about


def read_about(folder: Path) -> dict[str, Any]:
    """The description of a part. Raises OSError, and ValueError for a damaged one."""
    about: dict[str, Any] = read_file((folder / ABOUT).read_bytes())
    return about


def advise_rebuild(index: Path) -> str:
    """The command that builds an index again. An index outside a run has none of its own."""
    if index.name != "index":
        return FIX
    run = index.parent
    missing = not (run / "ledger" / StageName.INDEX / "manifest.json").exists()
    return f"`rampforge index {run}` builds it" if missing else advise_repair(run)


def nothing_to_index() -> SearchError:
    """The error for an empty corpus."""
    return SearchError("there is no passage to index", "check the funnel of the passages stage: rampforge report")


def measure_part(folder: Path, kind: str) -> int:
    """Bytes of a finished part on disk. Raises SearchError as `open_part` does."""
    return sum(open_part(folder, kind)["files"].values())


def _find_faults(folder: Path) -> str:
    try:
        sizes: dict[str, int] = read_about(folder)["files"]
    except (OSError, ValueError, KeyError):
        return f"has no readable {ABOUT}"
    for name, size in sizes.items():
        path = folder / name
        if not path.is_file():
            return f"lacks {name}"
        if path.stat().st_size != size:
            return f"has a damaged {name}: {path.stat().st_size} bytes instead of {size}"
    return ""


def _read_text(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except (OSError, ValueError):
        return None
