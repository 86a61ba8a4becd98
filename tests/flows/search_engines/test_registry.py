"""The registry of the search engines: one row each, either over an index or asked."""

from __future__ import annotations

from flows.configuration.run_config import load_config
from flows.search_engines.registry import ENGINES, find_engine, needs_index
from pipeline.storage.stage_ledger import pick_settings
from schemas.search_config import EngineKind


def test_every_kind_has_a_row() -> None:
    assert list(ENGINES) == list(EngineKind)
    for spec in ENGINES.values():
        assert (spec.open is None) != (spec.open_source is None)
        assert bool(spec.index_parts) == (spec.open is not None), "an index is built for engines that search one"


def test_the_settings_of_a_row_exist() -> None:
    for kind in EngineKind:
        config = load_config(None, [f"search.engine={kind}", "search.function=my:open", "agents.policy=agents"])
        spec = find_engine(config)
        assert bool(spec.config_keys) <= bool(pick_settings(config, spec.config_keys))
        assert spec.min_hits(config.search) >= 1
        assert needs_index(config) == (spec.open is not None)
