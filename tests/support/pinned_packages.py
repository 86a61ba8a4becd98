"""The packages that rampforge runs with, as installed here: `python -m tests.support.pinned_packages`.

All that rampforge needs, with its optional parts and what tests need, through any number of steps. Without them pip
would look for versions of two clients of S3 that go together for many minutes. Write it with the oldest Python that we
support: it needs backports that later ones do without.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.places import REPOSITORY

CONSTRAINTS = REPOSITORY / "flows" / "deployments" / "constraints.txt"
EXTRAS = frozenset({"trace", "ray", "s3", "gcs", "dev"})
"""Optional parts that are pinned too, where they are installed."""
OF_A_GPU = ("cuda-", "nvidia-", "triton")
"""Packages that only some builds of torch bring along."""
HEAD = """\
# Versions that rampforge is tested with: pip install --constraint constraints.txt rampforge
# Written by `python -m tests.support.pinned_packages`; a test compares it with pyproject.toml and what is installed.
"""


def list_requirements(package: Distribution, extras: frozenset[str]) -> Iterator[Requirement]:
    """What a package needs here, with some of its optional parts."""
    for text in package.requires or ():
        requirement = Requirement(text)
        marker, requirement.marker = requirement.marker, None
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield requirement


def find_needed() -> dict[str, str]:
    """Everything that rampforge needs, with the version that is installed."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    owed = [Requirement(text) for text in project["dependencies"]]
    owed += [Requirement(text) for extra in EXTRAS for text in optional.get(extra, ())]
    found: dict[str, str] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    while owed:
        wanted = owed.pop()
        step = str(canonicalize_name(wanted.name)), frozenset(wanted.extras)
        if (
            step[0] == "rampforge"
            or step[0].startswith(OF_A_GPU)
            or step in seen
            or (wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}))
        ):
            continue
        seen.add(step)
        try:
            package = distribution(step[0])
        except PackageNotFoundError:  # of a part that is not installed here
            continue
        found[step[0]] = package.version.partition("+")[0]  # a build for CPUs is the same version
        owed += list_requirements(package, step[1])
    return found


def write_constraints() -> str:
    """The file's text."""
    return HEAD + "".join(f"{name}=={version}\n" for name, version in sorted(find_needed().items()))


if __name__ == "__main__":
    sys.stdout.write(write_constraints())
