"""Finds the shards under a path: a run folder, a dataset's folder, or one shard.

Promises: nothing outside the path is listed, links that lead out included; a file that is no whole Parquet file is
named with what is wrong with it, and the rest can be read.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.inspecting.errors import InspectError

SUFFIX = ".parquet"
NOT_DATA = frozenset({"index", "journals", "ledger", "live", "logs", "calls", "reviews"})
"""Folders of a run that hold nothing to list; reviews are shown with what they are about."""


@dataclass(frozen=True, slots=True)
class ShardOnDisk:
    """A whole Parquet file."""

    path: Path
    rows: int
    bytes: int
    schema: pa.Schema


@dataclass(frozen=True, slots=True)
class BrokenFile:
    """A file that is skipped."""

    name: str
    """Its path, counted from the opened folder."""
    why: str


@dataclass(frozen=True, slots=True)
class Listing:
    """What lies under a path."""

    root: Path
    """The path itself, resolved."""
    datasets: dict[str, tuple[ShardOnDisk, ...]]
    """Whole shards by dataset, in order of their names."""
    broken: tuple[BrokenFile, ...]
    """What is skipped."""
    stamp: str
    """Changes whenever a file comes, goes or changes."""

    def rows(self, dataset: str) -> int:
        """Rows of a dataset."""
        return sum(shard.rows for shard in self.datasets.get(dataset, ()))


def list_shards(path: Path) -> Listing:
    """Everything that can be read under a path. Raises InspectError when nothing is there."""
    if not path.exists():
        raise InspectError(f"{path}: there is no such file or folder", "name a run, such as outputs/demo")
    root = path.resolve()
    datasets: dict[str, list[ShardOnDisk]] = {}
    broken: list[BrokenFile] = []
    for file in sorted(_find_files(root)):
        name = str(file.relative_to(root)) if file != root else file.name
        shard = _open_shard(file, root)
        if isinstance(shard, str):
            broken.append(BrokenFile(name, shard))
        else:
            datasets.setdefault(_name_dataset(file, root, shard.schema), []).append(shard)
    if not datasets and not broken and not (root / "run.json").is_file():
        raise InspectError(f"{path}: no Parquet shard lies here", "name a run, a dataset's folder or a .parquet file")
    whole = {name: tuple(shards) for name, shards in sorted(datasets.items())}
    return Listing(root, whole, tuple(broken), stamp_files(root))


def drop_damaged(listing: Listing) -> Listing:
    """The listing without the shards that look whole and cannot be read. Reads everything: for when a query failed."""
    sound: dict[str, tuple[ShardOnDisk, ...]] = {}
    broken = list(listing.broken)
    for name, shards in listing.datasets.items():
        faults = {shard.path: _find_damage(shard.path) for shard in shards}
        sound[name] = tuple(shard for shard in shards if faults[shard.path] is None)
        broken += [BrokenFile(str(path.relative_to(listing.root)), fault) for path, fault in faults.items() if fault]
    whole = {name: shards for name, shards in sound.items() if shards}
    return Listing(listing.root, whole, tuple(broken), listing.stamp)


def _find_damage(file: Path) -> str | None:
    try:
        with pq.ParquetFile(file) as opened:
            for _ in opened.iter_batches():
                pass
    except (pa.ArrowException, OSError) as error:
        return f"damaged: {str(error).splitlines()[0][:160]}"
    return None


def stamp_files(root: Path) -> str:
    """A digest of the names, sizes and times of all files under a path."""
    seen = hashlib.sha256()
    for file in sorted(_find_files(root)):
        try:
            stat = file.stat()
        except OSError:
            continue
        seen.update(f"{file}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return seen.hexdigest()


def _find_files(root: Path) -> Iterator[Path]:
    if root.is_file():
        yield root
        return
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in NOT_DATA]
        for name in files:
            if name.endswith((SUFFIX, f"{SUFFIX}.tmp")):
                yield Path(folder) / name


def _open_shard(file: Path, root: Path) -> ShardOnDisk | str:
    """The shard, or what is wrong with it."""
    if not file.resolve().is_relative_to(root):
        return "a link that leads out of the opened folder"
    if file.name.endswith(".tmp") and file != root:
        return "half-written: its writer is at work, or died"
    try:
        with pq.ParquetFile(file) as opened:
            return ShardOnDisk(file, opened.metadata.num_rows, file.stat().st_size, opened.schema_arrow)
    except (pa.ArrowException, OSError) as error:
        return f"no whole Parquet file: {str(error).splitlines()[0][:160]}"


def _name_dataset(file: Path, root: Path, schema: pa.Schema) -> str:
    """The folder below the root names a dataset; a file or folder that was opened itself tells it in its metadata."""
    parts = file.parent.relative_to(root).parts if root.is_dir() else ()
    if parts:
        return "_".join(parts)
    told = (schema.metadata or {}).get(b"rampforge.dataset", b"").decode("utf-8", "replace")
    return told or (root.stem if root.is_file() else root.name)
