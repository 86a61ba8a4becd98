"""Texts of the passages that searches of a run found, whether or not they were shown."""

from __future__ import annotations

from pipeline.exporting.simulator_tuning import FindPassage
from pipeline.search.cache import SearchCache
from pipeline.search.engine import FoundPassage
from pipeline.search.index.passage_store import PassageStore
from pipeline.storage.run_folder import RunFolder


def open_texts(run: RunFolder) -> FindPassage:
    """Open the texts: from the run's index, and the cached answers of its searches."""
    store = PassageStore(run.index / "passages") if (run.index / "passages").is_dir() else None
    caches = [SearchCache(path, str) for path in sorted((run.root / "searches").glob("*.jsonl"))]

    def find(passage_id: str) -> FoundPassage | None:
        if store is not None and store.find_row(passage_id) is not None:
            return store.read([passage_id])[0]
        return next((passage for cache in caches if (passage := cache.find_passage(passage_id))), None)

    return find
