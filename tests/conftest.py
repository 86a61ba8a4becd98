"""What tests share: where real data and real models lie, and how tests that need them are skipped."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.assets_cli import cache_folder
from pipeline.assets.store import find_asset

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED = REPOSITORY.parent / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what cannot run here, and say what is missing."""
    missing = [name for name in ("enwiki-sample", "smollm2-135m-instruct", "en_core_web_sm") if not _have(name)]
    for item in items:
        if item.get_closest_marker("shared") and not SHARED.is_dir():
            item.add_marker(pytest.mark.skip(reason="the shared data folder is not beside the checkout"))
        if item.get_closest_marker("assets") and missing:
            item.add_marker(pytest.mark.skip(reason="rampforge assets get demo"))


def _have(asset: str) -> bool:
    return find_asset(asset, cache_folder()) is not None


@pytest.fixture
def shared_data() -> Path:
    """The folder of real data beside the checkout."""
    return SHARED


@pytest.fixture
def assets() -> Path:
    """The cache of assets."""
    return cache_folder()
