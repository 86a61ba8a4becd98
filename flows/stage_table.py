"""The stages of the job, in order, and how each is built from the configuration.

The one place where real models, indexes and engines are made. Heavy libraries are imported where a stage is opened, so
that `rampforge --help` stays quick and a worker process loads only what its stage needs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from flows.quotas import share_out
from flows.stages import StageSpec, Workplace
from pipeline.assets.store import asset_revision, find_asset, resolve_model
from pipeline.corpus.sources import expand_sources
from pipeline.errors import AssetError
from pipeline.stage import Stage
from pipeline.storage.aliases import find_aliases
from pipeline.storage.shards import read_rows
from schemas.chunks import Chunk
from schemas.documents import Document, Redirect
from schemas.judgements import Judgement
from schemas.passages import Passage
from schemas.tasks import MaskTask, SpanSet
from schemas.trajectories import Trajectory

ASSET = "asset:"


def find_sources(place: Workplace) -> list[str]:
    """Every file or dataset that pages are read from; assets are found in the cache."""
    sources = tuple(_resolve_source(place, source) for source in place.config.corpus.sources)
    return expand_sources(place.config.corpus.model_copy(update={"sources": sources}))


def _resolve_source(place: Workplace, source: str) -> str:
    if not source.startswith(ASSET):
        return source
    name = source.removeprefix(ASSET)
    path = find_asset(name, place.cache)
    if path is None:
        raise AssetError(f"the asset {name} is not in {place.cache}", f"rampforge assets get {name}")
    return str(path)


def find_models(place: Workplace) -> dict[str, str]:
    """Name and revision of each model that the configuration names."""
    names = (place.config.masking.ner, place.config.masking.scorer)
    return {name: _model_revision(place, name) for name in names if name}


def _model_revision(place: Workplace, name: str) -> str:
    path = resolve_model(name, place.cache)
    revision = None if isinstance(path, str) else asset_revision(path)
    return revision or str(path)
