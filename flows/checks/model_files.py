"""Availability of the models in a configuration, without loading any: in the cache, in a folder, installed, or on the
hub.

Guarantees: cheap; a model on the hub costs one short request, and none when it is cached.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from flows.checks.findings import Finding, look_at
from flows.configuration.run_context import RunContext
from flows.configuration.sources import JIEBA, find_revision
from flows.models.hub import DESCRIPTION, find_on_hub
from flows.models.policy import locate_policy, plays_policy
from flows.models.serving import names_served_scorer
from flows.search_engines.local import ENDPOINT, VECTORS, open_encoder
from flows.search_engines.registry import find_engine
from flows.stages.spec import StageSpec
from pipeline.assets.store import resolve_model
from pipeline.errors import AssetError
from schemas.config import StageName

TOKENIZER = "tokenizer_config.json"
NO_SCORER = "masking.scorer=null"


def check_models(context: RunContext, specs: tuple[StageSpec, ...]) -> Iterator[Finding]:
    """Check the models that some stages load."""
    names, config = {spec.name for spec in specs}, context.config
    if StageName.SPANS in names:
        if (ner := config.masking.ner) not in (None, JIEBA):
            yield look_at(f"names: {ner}", lambda: find_pipeline(context, str(ner)))
        if (scorer := config.masking.scorer) is not None:
            fix = f"set masking.scorer to another model, or {NO_SCORER}"
            needs = TOKENIZER if names_served_scorer(config) else DESCRIPTION
            yield look_at(f"surprisals: {scorer}", lambda: find_model(context, str(scorer), fix, needs))
    if names & {StageName.INDEX, StageName.TRAJECTORIES} and VECTORS in find_engine(config).index_parts:
        yield look_at(f"encoder: {config.search.dense.encoder}", lambda: _find_encoder(context))
    if StageName.TRAJECTORIES in names:
        reranker = find_engine(config).reranker(config.search)
        if reranker is not None:
            fix = "set search.hybrid.reranker to another model or to null"
            yield look_at(f"reranker: {reranker}", lambda: find_model(context, str(reranker), fix))
        if plays_policy(config):
            yield look_at("policy.model", lambda: _describe(locate_policy(config, context.cache)))


def find_pipeline(context: RunContext, name: str) -> str:
    """Return the location of a spaCy pipeline. Raises AssetError."""
    where = resolve_model(name, context.cache)
    if isinstance(where, Path):
        if not (where / "config.cfg").is_file():
            raise AssetError(
                f"{where} is not a spaCy pipeline: it has no config.cfg", "set masking.ner to another pipeline"
            )
        return find_revision(context, name)
    if not name.isidentifier() or find_spec(name) is None:
        raise AssetError(
            f"the spaCy pipeline {name} is not installed",
            f"python -m spacy download {name}, or set masking.ner=en_core_web_sm (an asset) or masking.ner=null",
        )
    return "installed"


def find_model(context: RunContext, name: str, fix: str, needs: str = DESCRIPTION) -> str:
    """Return the location of a model.

    `fix`: what to do if it is not found; `needs`: a required file of its folder. Raises AssetError.
    """
    where = resolve_model(name, context.cache)
    if isinstance(where, str):
        return find_on_hub(where, fix)
    if not (where / needs).is_file():
        raise AssetError(f"{where} is not a model folder: it has no {needs}", fix)
    return find_revision(context, name)


def _find_encoder(context: RunContext) -> str:
    name = context.config.search.dense.encoder
    if name.startswith(ENDPOINT):
        return f"answers with vectors of {open_encoder(context).dimension} numbers"
    return find_model(context, name, "set search.dense.encoder to another model (`rampforge assets list`)")


def _describe(where: str) -> str:
    return where if Path(where).is_dir() else find_on_hub(where, "set policy.model to the model's folder")
