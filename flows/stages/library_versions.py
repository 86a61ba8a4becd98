"""The versions of the packages that decide the rows of a stage, which are written into its ledger.

A run whose rows were begun under other versions is continued only when that is asked for (`--other-version`).
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from flows.configuration.provenance import rampforge_version
from schemas.config import RunConfig

OPENCC = "opencc-python-reimplemented"
MODELS = ("torch", "transformers")
"""Packages that run a model in this process."""


def list_versions(packages: Iterable[str]) -> dict[str, str]:
    """Versions of rampforge and of some packages."""
    return {"rampforge": rampforge_version()} | {name: _find_version(name) for name in packages}


def _find_version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def is_chinese(config: RunConfig) -> bool:
    """Whether the corpus is Chinese, which other packages read."""
    return config.corpus.lang.startswith("zh")
