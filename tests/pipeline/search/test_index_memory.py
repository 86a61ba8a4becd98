"""What an index is said to take, before it is built and before it is opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import SearchError
from pipeline.search.bm25 import build_index
from pipeline.search.index.memory import (
    check_needs,
    estimate_build,
    estimate_dense,
    estimate_open,
    measure_memory,
)
from schemas.search_config import DenseIndex, SearchConfig
from tests.support.passage_samples import draw_passages, write_shards


def measure_tree(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_the_estimate_of_the_disk_is_on_the_safe_side_but_not_by_far(tmp_path: Path) -> None:
    shards = write_shards(tmp_path, draw_passages(3000, longest=120))
    build_index(shards, tmp_path / "index", SearchConfig(), "en")
    needs = estimate_build(shards, 65_536, 1)
    assert measure_tree(tmp_path / "index") * 0.5 < needs.disk < measure_tree(tmp_path / "index") * 4


def test_more_workers_and_more_passages_take_more(tmp_path: Path) -> None:
    shards = write_shards(tmp_path, draw_passages(2000))
    assert estimate_build(shards, 100, 1).memory < estimate_build(shards, 100, 4).memory
    assert estimate_build(shards, 65_536, 1).memory == estimate_build(shards, 65_536, 4).memory
    kinds = [estimate_dense(10**7, 384, kind).memory for kind in (DenseIndex.FLAT, DenseIndex.IVFPQ, DenseIndex.HNSW)]
    assert kinds == sorted(kinds)
    assert estimate_open(10**7, 10**10).memory < 10**9


def test_too_little_memory_or_disk_is_one_clear_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="pipeline")
    needs = estimate_open(3 * 10**7, 6 * 10**10)
    with pytest.raises(
        SearchError, match=r"searching takes about 0\.9 GB of memory, and 0\.5 GB are there\n.*memory_gb"
    ):
        check_needs("searching", needs, limit=5 * 10**8)
    check_needs("searching", needs, limit=10**11)
    assert "searching takes about 0.9 GB of memory and 60.0 GB of disk" in caplog.text
    with pytest.raises(SearchError, match="are free"):
        check_needs("building", estimate_dense(10**12, 384, DenseIndex.FLAT), tmp_path, limit=10**15)
    assert 10**8 < measure_memory() < 10**14
