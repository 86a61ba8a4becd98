"""What the stage of tasks needs to play them: when it does, on which settings that depends, and the oracle itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flows.configuration.run_context import RunContext
from flows.search_engines.registry import TERM_KEYS, find_engine, open_async_engine, read_fingerprint
from flows.stages.search_index import index_packages
from pipeline.stage import Outcome
from schemas.config import RunConfig
from schemas.masking_config import EvidenceScope
from schemas.trajectories import HideMode

if TYPE_CHECKING:
    from pipeline.llm.async_stage import AsyncStage

STRICTNESS = (HideMode.NONE, HideMode.PASSAGE, HideMode.PAGE)
SCOPES = {EvidenceScope.PASSAGE: HideMode.PASSAGE, EvidenceScope.PAGE: HideMode.PAGE}
"""What is withheld so that evidence alone gives an answer."""


def plays_tasks(config: RunConfig) -> bool:
    """Whether an oracle plays the tasks: evidence is looked for, and the engine searches the run's own passages."""
    masking = config.masking
    return masking.reachable and masking.evidence is not EvidenceScope.NONE and find_engine(config).open is not None


def play_keys(config: RunConfig) -> tuple[str, ...]:
    """Keys that decide how the oracle plays."""
    if not plays_tasks(config):
        return ("masking.reachable",)
    search = ("search.engine", "search.k", "search.hide", "search.hide_copies", *find_engine(config).config_keys)
    return ("masking.reachable", *search, *TERM_KEYS, "agents.max_turns", "agents.queries_per_turn")


def play_fingerprints(context: RunContext) -> Mapping[str, str]:
    """The engine that the oracle searches with."""
    return {"engine": read_fingerprint(context)} if plays_tasks(context.config) else {}


def play_packages(config: RunConfig) -> tuple[str, ...]:
    """Packages that decide what the oracle finds."""
    return index_packages(config) if plays_tasks(config) else ()


def open_play(context: RunContext, shard: str, made: Mapping[str, Outcome]) -> AsyncStage:
    """The stage that plays the tasks made of a shard's passages, given by passage."""
    from flows.models.chat_models import make_stage
    from pipeline.reachability.play import OraclePlayer
    from pipeline.reachability.stage import ReachabilityStage
    from pipeline.search.bm25 import Bm25Engine

    config, path = context.config, context.run.fetch_index()
    index: Any = context.resources.keep("oracle index", path, lambda: Bm25Engine(path))
    engine = open_async_engine(context, shard)
    player = OraclePlayer(engine, index, config.agents, config.search.k, _choose_hidden(config))
    return make_stage(context, ReachabilityStage(made, player).work, None, engine)


def _choose_hidden(config: RunConfig) -> HideMode:
    """What is withheld: the most that the attempts withhold, and at least what makes evidence necessary."""
    modes = (SCOPES[config.masking.evidence], *config.search.hide)
    return STRICTNESS[max(map(STRICTNESS.index, modes))]
