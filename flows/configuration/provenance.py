"""Provenance of rows: versions, source fingerprints, and the facts in every shard's metadata."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pipeline.errors import SourceError
from pipeline.storage.remote.object_store import ObjectStore
from pipeline.storage.run_folder import RunFolder
from schemas.locations import is_url

ROW_DECIDING_PACKAGES = (
    "datasketch",
    "faiss-cpu",
    "jieba",
    "pyarrow",
    "pydantic",
    "PyStemmer",
    "rapidfuzz",
    "spacy",
    "torch",
    "transformers",
)
"""Packages whose version may affect a row."""

EDGE_BYTES = 1 << 20
"""Bytes hashed at either end of a source file, since a dump of all of Wikipedia is too large to read twice."""


@cache
def rampforge_version() -> str:
    """Return the installed version."""
    try:
        return version("rampforge")
    except PackageNotFoundError:
        return "not installed"


@cache
def package_versions() -> dict[str, str]:
    """Return the versions of the packages that affect rows; looked up once, as is the revision below."""
    return {name: version(name) for name in ROW_DECIDING_PACKAGES}


@cache
def git_revision() -> str | None:
    """Return the revision of the checkout, with `+` for modified files; None outside a checkout."""
    here = Path(__file__).parent
    git = ["git", "-C", str(here)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)  # noqa: S603 - fixed words
        dirty = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, check=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + ("+" if dirty.stdout.strip() else "")


def fingerprint_sources(sources: Iterable[str]) -> dict[str, str]:
    """Return the size of each source and a hash of its first and last bytes, by the name given by `name_sources`."""
    found = list(sources)
    return {name: fingerprint_source(source) for name, source in zip(name_sources(found), found, strict=True)}


def name_sources(sources: Sequence[str]) -> list[str]:
    """Name each source by its file, so that moving a file does not change it, preceded by as many folders as
    distinguish it from others."""
    paths = [source.rstrip("/").split("/") for source in sources]
    lengths = [1] * len(paths)
    for length in range(1, max(map(len, paths), default=0)):
        counts = Counter(tuple(path[-length:]) for path in paths)
        clashing = [number for number, path in enumerate(paths) if counts[tuple(path[-length:])] > 1]
        for number in clashing:
            lengths[number] = length + 1
        if not clashing:
            break
    return ["/".join(path[-length:]) for path, length in zip(paths, lengths, strict=True)]


def fingerprint_source(source: str) -> str:
    """Return size and hash of the first and last bytes of a file; for a folder, of the names and sizes of its files.

    For a source that is not a file (a dataset on the hub), return its name. Raises SourceError for an unreadable file.
    """
    if is_url(source):
        return _fingerprint_object(source)
    path = Path(source)
    if path.is_dir():
        listing = [[str(f.relative_to(path)), f.stat().st_size] for f in sorted(path.rglob("*")) if f.is_file()]
        return f"{len(listing)} files, sha256 {hashlib.sha256(json.dumps(listing).encode()).hexdigest()[:16]}"
    if not path.exists():
        return "not a file"
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            edges = hashlib.sha256(file.read(EDGE_BYTES))
            file.seek(max(0, size - EDGE_BYTES))
            edges.update(file.read())
    except OSError as error:
        raise SourceError(f"{source}: {error.strerror or error}", "check `corpus.sources`") from None
    return f"{size} bytes, sha256 of the edges {edges.hexdigest()[:16]}"


def _fingerprint_object(url: str) -> str:
    """Return the same for a file on a store, without copying it."""
    folder, _, name = url.rpartition("/")
    store = ObjectStore(folder)
    size = store.measure(name)
    edges = hashlib.sha256(store.read_range(name, 0, min(size, EDGE_BYTES)))
    edges.update(store.read_range(name, max(0, size - EDGE_BYTES), size))
    return f"{size} bytes, sha256 of the edges {edges.hexdigest()[:16]}"


def stage_provenance(run: RunFolder, stage: str) -> dict[str, str]:
    """Return the facts about a stage that are written into its files: no time, no path, nothing that differs between
    equal runs.
    """
    started = run.start(stage)
    return {
        "stage": stage,
        "version": rampforge_version(),
        "settings": json.dumps(started.settings, ensure_ascii=False, sort_keys=True),
        "upstream": started.upstream or "",
    }
