"""Resolution of the files and models in a configuration: assets in the cache, everything else at the given path."""

from __future__ import annotations

from flows.configuration.run_context import RunContext
from pipeline.assets.store import asset_revision, find_asset, resolve_model
from pipeline.corpus.readers.opening import expand_sources
from pipeline.errors import AssetError
from pipeline.storage.remote.transfer import copy_object, list_objects
from schemas.locations import is_url

ASSET = "asset:"
JIEBA = "jieba"
"""Value of `masking.ner` that needs no model: jieba includes its dictionary."""


def find_sources(context: RunContext) -> list[str]:
    """Return every file or dataset that pages are read from.

    Raises AssetError for a missing asset, SourceError for a missing or unrecognised file.
    """
    corpus = context.config.corpus
    resolved = tuple(_resolve_source(context, source) for source in corpus.sources)
    found: dict[str, None] = {}
    for source in expand_sources(corpus.model_copy(update={"sources": resolved})):
        found |= dict.fromkeys(list_objects(source) if is_url(source) else [source])
    return list(found)


def bring_source(context: RunContext, source: str) -> str:
    """Return a readable local path of a source; an object on a store is copied first."""
    return str(copy_object(source, context.cache)) if is_url(source) else source


def _resolve_source(context: RunContext, source: str) -> str:
    if not source.startswith(ASSET):
        return source
    name = source.removeprefix(ASSET)
    path = find_asset(name, context.cache)
    if path is None:
        raise AssetError(f"the asset {name} is not in {context.cache}", f"rampforge assets get {name}")
    return str(path)


def find_models(context: RunContext) -> dict[str, str]:
    """Return name and revision of each model in the configuration."""
    names = (context.config.masking.ner, context.config.masking.scorer)
    return {name: find_revision(context, name) for name in names if name not in (None, JIEBA)}


def find_revision(context: RunContext, name: str) -> str:
    """Return the revision of an asset; for any other model, the path or name it is loaded from."""
    path = resolve_model(name, context.cache)
    revision = None if isinstance(path, str) else asset_revision(path)
    return revision or str(path)
