"""A search engine over a run or an index, for use by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.configuration.run_config import make_config
from pipeline.errors import SearchError
from pipeline.search.engine import SearchRequest
from rampforge.opened_run import Run
from schemas.config import RunConfig
from schemas.trajectories import SearchCall, SearchStatus


@dataclass(frozen=True, slots=True)
class FoundText:
    """A passage that a search found."""

    passage_id: str
    """The passage."""
    title: str
    """Title of its page."""
    text: str
    """Its text."""
    score: float
    """Its score, comparable within one engine alone."""


class Search:
    """A search engine. Workers of the same process may share one; it is opened once, and stays open.

    search = rampforge.Search("outputs/demo")
    for found in search.ask("who founded the school", k=3):
        print(found.title, found.text)
    """

    def __init__(self, over: str | Path | Run, *, settings: Mapping[str, Any] | None = None) -> None:
        """Open the engine of a run, or BM25 over a bare index.

        Args:
            over: A run's folder or URL, what `open_run` returned, or the folder of an index.
            settings: Values on top of the run's configuration, by key, such as `{"search.engine": "dense"}`.

        Raises:
            RampforgeError: There is no index, or the engine cannot be opened.
        """
        from flows.cli.locations import fetch_index
        from flows.search_engines.by_hand import locate_index, open_searcher

        folder = fetch_index(over.location if isinstance(over, Run) else str(over))
        index, config = locate_index(folder)
        self.config: RunConfig = make_config(config, settings)
        self._engine = open_searcher(folder, index, self.config)

    @property
    def fingerprint(self) -> str:
        """Hash of the kind of engine, its settings and its corpus."""
        return self._engine.fingerprint

    def ask(self, query: str, k: int | None = None) -> list[FoundText]:
        """The passages found for a query, best first; none where nothing fits.

        `k`: passages at most, by default `search.k`. Raises SearchError where the engine failed.
        """
        return self.ask_all([query], k)[0]

    def ask_all(self, queries: Sequence[str], k: int | None = None) -> list[list[FoundText]]:
        """The same for several queries, which the engine is given together."""
        calls = self._engine.search([SearchRequest(query) for query in queries], k or self.config.search.k)
        return [self._read(call) for call in calls]

    def _read(self, call: SearchCall) -> list[FoundText]:
        if call.status in (SearchStatus.ERROR, SearchStatus.TIMEOUT):
            raise SearchError(f"the search for {call.query[:80]!r} failed: {call.detail or call.status.value}")
        passages = self._engine.read([hit.passage_id for hit in call.hits])
        found = zip(passages, call.hits, strict=True)
        return [FoundText(passage.passage_id, passage.title, passage.text, hit.score or 0.0) for passage, hit in found]
